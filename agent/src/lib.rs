//! halfopen: watches TCP connections die, and says why.
//! The stages of the flow are the modules; each imports only what stands below it.

#![deny(unsafe_code)]

pub mod bpf;
pub mod cli;
pub mod collector;
pub mod commands;
pub mod events;
pub mod host;
pub mod options;
pub mod serve;
pub mod sockets;
pub mod worker;
