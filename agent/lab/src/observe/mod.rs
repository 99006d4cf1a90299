//! What can be seen from outside: the kernel's own counters and socket tables, and the endpoints of an
//! agent.

pub mod agent_client;
pub mod agent_process;
pub mod capture;
pub mod connections;
pub mod deaths;
pub mod exposition;
pub mod http;
mod json_format;
pub mod pace;
pub mod snmp;
pub mod sockets;
