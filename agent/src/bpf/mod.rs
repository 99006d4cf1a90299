//! The BPF edge: the object, its programs, maps and hooks, and the kernel's type information. Alone in naming
//! aya.

pub(crate) mod address;
pub(crate) mod attach;
pub(crate) mod btf;
mod copy_plan;
mod error;
pub(crate) mod event_buffer;
pub(crate) mod hooks;
mod kallsyms;
pub(crate) mod load;
pub(crate) mod loaded_object;
pub(crate) mod maps;
pub(crate) mod mmap_array;

pub mod pin;
pub mod prog_info;
pub(crate) mod programs;
pub mod statistics;

pub use error::Error;
