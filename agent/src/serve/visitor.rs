//! Who asks: where a request comes from, and what it has proved.
//! It must never be made of what a client says about itself.

use std::net::SocketAddr;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A unix socket, whose file's mode says who may connect.
    Socket,
    /// An address.
    Address(SocketAddr),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// From where.
    pub peer: Peer,
    /// Whether a password or a verified certificate says who it is.
    pub authenticated: bool,
}
