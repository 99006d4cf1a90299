//! Where the agent listens: TCP and unix sockets, its own or handed over by systemd.

mod address;
mod bound;
mod error;
mod listener;
mod systemd;
mod tcp;
mod unix;

pub use address::{AddressError, ListenAddress, SOCKET, socket_path};
pub use bound::BoundListeners;
pub use error::ListenError;
pub use listener::WebListener;
pub use systemd::SystemdSocketError;
pub use unix::SocketError;
