//! The lab: connections that die in each known way, in private network namespaces, and the comparison of
//! three accounts of them: the scenario table, the kernel's own counters and sockets, the agent's.
//!
//! # Invariants
//!
//! An expectation never comes from the agent, and the lab shares no code with it.

pub mod classify;
mod error;
pub mod interrupt;
mod lab_lock;
pub mod net;
pub mod observe;
pub mod report;
pub mod scenario;
pub mod stress;
pub mod wait;

pub use error::Error;
pub use lab_lock::LabLock;
pub use net::{
    family::Family,
    host::{Host, NetnsLifetime},
    pair::Pair,
};
