//! What the host tells outside BPF: network namespaces, cgroups and owners, mounts, privileges, the kernel's
//! own counters.

pub mod cgroups;
pub(crate) mod clock;
pub mod kubernetes;
pub(crate) mod memory;
mod mounts;
pub mod namespaces;
pub(crate) mod netns;
pub mod owners;
pub(crate) mod privileges;
pub(crate) mod process;
pub mod snmp;
