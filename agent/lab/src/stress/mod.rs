//! The stress test: thousands of connections die of every cause at once, and each is accounted for.

mod actions;
mod case;
mod cases;
mod fixture;
mod generator;
mod ledger;
mod reconcile;
mod rows;
mod run;
mod sockets;
mod sums;

pub use run::{StressTest, run};
