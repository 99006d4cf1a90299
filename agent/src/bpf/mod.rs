//! The BPF edge: the object, its programs, maps and hooks, and the kernel's type information. Alone in naming
//! aya.

pub(crate) mod address;
pub(crate) mod attach;
pub(crate) mod btf;
mod error;
pub(crate) mod hooks;
pub(crate) mod load;
pub(crate) mod loaded_object;
pub(crate) mod maps;

pub mod pin;
pub mod prog_info;
pub(crate) mod programs;
pub mod statistics;

pub use error::Error;
