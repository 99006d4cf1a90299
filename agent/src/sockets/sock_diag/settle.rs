//! What only all sockets of a namespace together tell: who was connected to, and who was met twice.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use halfopen_core::model::connection::{Connection, Direction, State};

/// Tells inbound from outbound by who listens, once all sockets of a namespace are known, and drops
/// what was met twice: a request that became a connection meanwhile keeps its cookie
/// (inet_csk_clone_lock() in net/ipv4/inet_connection_sock.c).
pub fn settle(connections: &mut Vec<Connection>) {
    let listeners: HashSet<SocketAddr> = connections
        .iter()
        .filter(|connection| connection.state == State::Listen)
        .map(|listener| listener.local)
        .collect();
    for connection in connections.iter_mut() {
        if is_accepted(connection.local, &listeners) {
            connection.direction = Direction::Inbound;
        }
    }
    let mut met = HashSet::new();
    // The latest is the one to keep.
    connections.reverse();
    connections.retain(|connection| connection.cookie.is_none() || met.insert(connection.sock));
    connections.reverse();
}

/// Whether a listener can have accepted a connection with this local address. It is of the family of
/// its listener: IPv4 accepted by IPv6 is mapped.
fn is_accepted(local: SocketAddr, listeners: &HashSet<SocketAddr>) -> bool {
    let at = |ip| listeners.contains(&SocketAddr::new(ip, local.port()));
    at(local.ip())
        || match local.ip() {
            IpAddr::V4(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => {
                at(Ipv6Addr::UNSPECIFIED.into())
                    || at(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into())
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halfopen_core::model::liveness::fixture::established;

    /// With this local address and state.
    fn at(local: &str, state: State) -> Connection {
        established().in_state(state).with(|it| {
            it.local = local.parse().unwrap();
            it.direction = Direction::Outbound;
            it.cookie = None;
        })
    }

    #[test]
    fn direction_is_told_by_who_listens() {
        let check = |listener, local, expected| {
            let mut both = vec![at(local, State::Established), at(listener, State::Listen)];
            settle(&mut both);
            assert_eq!(both[0].direction, expected, "{listener} {local}");
            assert_eq!(both[1].direction, Direction::Inbound);
        };
        check("0.0.0.0:80", "10.0.0.1:80", Direction::Inbound);
        check("10.0.0.1:80", "10.0.0.1:80", Direction::Inbound);
        check("[::]:80", "[fd00::1]:80", Direction::Inbound);
        check("[::]:80", "[::ffff:10.0.0.1]:80", Direction::Inbound);
        check(
            "[::ffff:0.0.0.0]:80",
            "[::ffff:10.0.0.1]:80",
            Direction::Inbound,
        );
        check("[fd00::1]:80", "[fd00::1]:80", Direction::Inbound);
        check("0.0.0.0:80", "10.0.0.1:81", Direction::Outbound);
        check("10.0.0.2:80", "10.0.0.1:80", Direction::Outbound);
        // What IPv6 accepts is of IPv6.
        check("[::]:80", "10.0.0.1:80", Direction::Outbound);
        check("0.0.0.0:80", "[::ffff:10.0.0.1]:80", Direction::Outbound);
        check("[fd00::2]:80", "[fd00::1]:80", Direction::Outbound);
    }

    #[test]
    fn what_was_met_twice_is_shown_once_as_it_was_last() {
        let with = |cookie: u64, state| {
            established().in_state(state).with(|it| {
                it.sock = cookie;
                it.cookie = (cookie != 0).then_some(cookie);
            })
        };
        // Without a cookie none is told from another.
        let (request, connection) = (State::SynRecv, State::Established);
        let mut connections = vec![
            with(1, request),
            with(0, connection),
            with(2, connection),
            with(1, connection),
            with(0, connection),
        ];
        settle(&mut connections);
        let found: Vec<_> = connections.iter().map(|it| (it.sock, it.state)).collect();
        let expected = [0, 2, 1, 0].map(|sock| (sock, connection));
        assert_eq!(found, expected);
    }
}
