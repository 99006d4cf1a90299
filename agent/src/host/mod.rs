//! What the host tells outside BPF: /proc, network namespaces, the kernel's own counters.
//! It must never know what our hooks counted.

pub mod cgroups;
pub mod kubernetes;
mod mounts;
pub mod namespaces;
pub mod prog_info;
pub mod snmp;
pub mod sock_diag;
