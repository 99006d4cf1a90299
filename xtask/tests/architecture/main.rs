//! Architecture tests: the invariants of ARCHITECTURE.md that the sources themselves can show.
//! Each check has a table of small faults, so that it is known to fail.

#![allow(
    clippy::unwrap_used,
    reason = "a source that cannot be read fails the test"
)]

mod cargo;
mod circles;
mod code;
mod core;
mod floors;
mod kernel_side;
mod manifests;
mod metrics;
mod names;
mod sizes;
mod unsafety;
