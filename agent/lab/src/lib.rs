//! The lab: connections that die in each known way, in network namespaces of their own, and a judge
//! who compares three accounts: the scenario table, the kernel's own counters and sockets, the agent's.
//! It must never take an expectation from the agent, nor share code with it.

pub mod agent;
mod census;
pub mod certificates;
pub mod connections;
pub mod demo;
mod destroy;
mod error;
pub mod exposition;
mod form;
mod host;
pub mod http;
pub mod interrupt;
pub mod judge;
pub mod judgement;
mod pair;
pub mod perform;
pub mod programs;
pub mod report;
pub mod scenarios;
pub mod session;
mod snmp;
mod sockets;
pub mod stage;
pub mod storm;
pub mod totals;
mod turn;
mod wait;
pub mod witness;

pub use error::Error;
pub use host::{Held, Host};
pub use pair::{Family, Pair};
pub use snmp::Counters;
pub use turn::Turn;
