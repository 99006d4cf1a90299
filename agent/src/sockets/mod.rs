//! Every way to read sockets: the walk over the kernel's tables, sock_diag, suspects between walks, and the
//! processes that hold them.

pub(crate) mod duty_cycle;
mod holders;
pub mod reader;
pub mod sock_diag;
pub(crate) mod suspects;
pub mod walk;
pub mod worker;

pub use reader::Reader;
pub use worker::ListRequester;
