//! Who sent a request: where the connection comes from, and whether the client is authenticated.
//!
//! # Invariants
//! Nothing here is taken from what a client claims in its headers.

use std::net::SocketAddr;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A unix socket; the mode of its file decides who may connect.
    UnixSocket,
    /// A TCP peer.
    Address(SocketAddr),
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Where the connection comes from.
    pub peer: Peer,
    /// Whether a password or a verified certificate identifies the client.
    pub authenticated: bool,
}
