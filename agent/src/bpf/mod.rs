//! The BPF edge: the object, its programs, maps and hooks, and the kernel's type information. Alone in naming
//! aya.

pub(crate) mod address;
pub(crate) mod attach;
pub(crate) mod btf;
mod copy_plan;
mod error;
pub(crate) mod hooks;
pub(crate) mod maps;
pub(crate) mod mmap_array;
pub(crate) mod object;
pub mod pin;
pub mod prog_info;
pub(crate) mod program_output;
pub(crate) mod programs;
pub mod statistics;

pub use error::Error;
