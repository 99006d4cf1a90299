//! What stands between a handshake and accept(): the accept queue of a listener.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{Known, Unknown};

/// How far a connection has come that a peer opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acceptance {
    /// The handshake's last ACK has not come.
    AwaitsAck,
    /// It came, and TCP_DEFER_ACCEPT has the connection wait for the client's data.
    AwaitsData,
    /// It came and was thrown away, since the accept queue was full: the client takes the connection for
    /// established.
    AckDropped,
    /// Established, and in the accept queue.
    Queued,
    /// An application has accepted it.
    Accepted,
}

impl Acceptance {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AwaitsAck,
        Self::AwaitsData,
        Self::AckDropped,
        Self::Queued,
        Self::Accepted,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitsAck => "awaits_ack",
            Self::AwaitsData => "awaits_data",
            Self::AckDropped => "ack_dropped",
            Self::Queued => "queued",
            Self::Accepted => "accepted",
        }
    }
}

/// An accept queue, or several of one address and port (SO_REUSEPORT) together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcceptQueue {
    /// Connections in it (`sk_ack_backlog`).
    pub held: u64,
    /// The backlog of listen(), at most net.core.somaxconn (`sk_max_ack_backlog`).
    pub limit: u64,
    /// Listeners.
    pub listeners: u64,
}

impl AcceptQueue {
    /// One listener's.
    #[must_use]
    pub const fn of_one(held: u32, limit: u32) -> Self {
        Self {
            held: held as u64,
            limit: limit as u64,
            listeners: 1,
        }
    }

    /// Adds another.
    pub const fn add(&mut self, other: &Self) {
        self.held += other.held;
        self.limit += other.limit;
        self.listeners += other.listeners;
    }

    /// Whether no connection finds room: each listener takes one more than its limit
    /// (`sk_acceptq_is_full`, include/net/sock.h). Of several this is certain only when all are full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.held >= self.limit + self.listeners && self.listeners > 0
    }
}

/// The listeners of one reading, to find the one for which a connection waits.
#[derive(Debug, Clone, Default)]
pub struct Listeners(BTreeMap<(u32, SocketAddr), AcceptQueue>);

impl Listeners {
    /// Takes note of a listener at this address of this network namespace.
    pub fn add(&mut self, netns: u32, local: SocketAddr, queue: AcceptQueue) {
        self.0.entry((netns, local)).or_default().add(&queue);
    }

    /// The queue that a connection with this local address came through: that of the listener at its
    /// address, else at the unspecified one. A child is of the family of its listener: IPv4 accepted by IPv6
    /// is mapped.
    ///
    /// # Errors
    /// When there is no such listener, or none any more.
    pub fn queue(&self, netns: u32, local: SocketAddr) -> Known<AcceptQueue> {
        let at = |ip: IpAddr| self.0.get(&(netns, SocketAddr::new(ip, local.port())));
        let found = at(local.ip()).or_else(|| match local.ip() {
            IpAddr::V4(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => at(Ipv6Addr::UNSPECIFIED.into())
                .or_else(|| at(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into())),
        });
        found.copied().ok_or(Unknown::ListenerUnseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_one_more_than_the_limit() {
        for (held, limit, is_full) in [(4, 4, false), (5, 4, true), (0, 0, false), (1, 0, true)] {
            let queue = AcceptQueue::of_one(held, limit);
            assert_eq!(queue.is_full(), is_full, "{held} of {limit}");
        }
        assert!(!AcceptQueue::default().is_full());
    }

    #[test]
    fn a_connection_waits_for_the_listener_at_its_address() {
        let mut listeners = Listeners::default();
        let queue = |held| AcceptQueue::of_one(held, 4);
        let all = [
            (1, "10.0.0.1:80", 1),
            (1, "0.0.0.0:80", 2),
            (1, "[::]:443", 3),
            (2, "10.0.0.1:443", 4),
        ];
        for (netns, local, held) in all {
            listeners.add(netns, local.parse().unwrap(), queue(held));
        }
        let check = |netns, local: &str, expected| {
            let found = listeners.queue(netns, local.parse().unwrap());
            assert_eq!(found.map(|it| it.held), expected, "{netns} {local}");
        };
        check(1, "10.0.0.1:80", Ok(1));
        check(1, "10.0.0.2:80", Ok(2));
        check(1, "[fd00::1]:443", Ok(3));
        check(1, "[::ffff:10.0.0.1]:443", Ok(3));
        check(2, "10.0.0.1:443", Ok(4));
        check(2, "10.0.0.1:80", Err(Unknown::ListenerUnseen));
        check(1, "[fd00::1]:80", Err(Unknown::ListenerUnseen));
        check(1, "10.0.0.1:443", Err(Unknown::ListenerUnseen));
    }

    #[test]
    fn listeners_that_share_a_port_are_one() {
        let mut listeners = Listeners::default();
        let local = "0.0.0.0:80".parse().unwrap();
        listeners.add(1, local, AcceptQueue::of_one(5, 4));
        listeners.add(1, local, AcceptQueue::of_one(0, 4));
        let both = listeners.queue(1, local).unwrap();
        assert_eq!((both.held, both.limit, both.listeners), (5, 8, 2));
        assert!(!both.is_full());
    }
}
