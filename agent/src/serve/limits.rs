//! Limits on clients, and the backlog of the listening sockets.

use std::time::Duration;

/// Connections that may wait to be accepted: a burst of scrapes should queue, not be refused.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Concurrent requests (HTTP/2 streams) on one connection; each costs what a connection costs.
pub const HTTP2_STREAMS: u32 = 16;

/// Limits on clients.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Open connections, all addresses together.
    pub connections: usize,
    /// Time until the TLS handshake is complete.
    pub handshake_time: Duration,
    /// Time until a request's headers are complete, and idle time between requests.
    pub header_time: Duration,
    /// Bytes of the request line and headers.
    pub header_bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Time that sent bytes may stay unacknowledged, by a peer that is gone or does not read.
    pub unread_time: Duration,
    /// Time that requests get to finish when the agent ends.
    pub drain_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake_time: Duration::from_secs(5),
            header_time: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            headers: 64,
            unread_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(5),
        }
    }
}
