//! Takes snapshots: what the hooks counted, by the groups that are shown, compared with the kernel's own
//! counters, and the latest walk.

mod comparison;
mod groups;
mod monitor;

pub use monitor::Monitor;
