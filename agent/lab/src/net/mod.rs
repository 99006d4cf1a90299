//! Network namespaces, the veth pair between two of them, and the sockets opened in them.

pub mod destroy;
pub mod end;
pub mod family;
mod frames;
pub mod host;
pub mod icmp;
pub mod locked_socket;
pub mod open;
pub mod pair;
pub mod path;
mod private;
pub mod send_window;
pub(crate) mod tcp_info;
pub mod thread_cgroup;

pub use private::enter_private;
