//! A listening socket, TCP or unix.

use std::{fmt, net::TcpListener, os::unix::net::UnixListener};

/// A listening socket, TCP or unix.
#[derive(Debug)]
pub enum WebListener {
    /// With an address.
    Tcp(TcpListener),
    /// With a path.
    Unix(UnixListener),
}

impl From<TcpListener> for WebListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for WebListener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl fmt::Display for WebListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(reason) => write!(f, "an unknown address ({reason})"),
            },
            Self::Unix(listener) => match listener.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => write!(f, "unix: (without a path)"),
                },
                Err(reason) => write!(f, "unix: (an unknown path: {reason})"),
            },
        }
    }
}
