//! Why an address cannot be listened on.
//!
//! # Invariants
//! An error names the address, and what to do.

use std::{io, net::SocketAddr};

use super::{systemd::SystemdSocketError, unix::SocketError};

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host name has no address.
    #[error(
        "cannot listen on {address}: the host name does not resolve ({reason}); give an address of this machine"
    )]
    Resolve {
        /// As typed.
        address: String,
        /// The error of the resolver.
        reason: io::Error,
    },
    /// Another socket has the port.
    #[error(
        "cannot listen on {address}: the port is in use by another process (`ss -ltnp` shows which); stop it, or choose another port with --web.listen-address"
    )]
    InUse {
        /// The address tried.
        address: SocketAddr,
    },
    /// A port below 1024.
    #[error(
        "cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE; choose another port with --web.listen-address"
    )]
    Privileged {
        /// The address tried.
        address: SocketAddr,
    },
    /// Anything else.
    #[error(
        "cannot listen on {address}: {reason}; choose an address of this machine with --web.listen-address"
    )]
    Other {
        /// The address tried.
        address: SocketAddr,
        /// The error of the kernel.
        reason: io::Error,
    },
    /// A unix socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// systemd handed over no usable socket.
    #[error(transparent)]
    Systemd(#[from] SystemdSocketError),
}
