//! What only all sockets of a namespace together tell: who was connected to, and who was met twice.

use std::collections::HashSet;

use halfopen_core::model::connection::{
    Acceptance, Connection, Direction, Listeners, State, Unknown,
};

/// Tells inbound from outbound by who listens, once all sockets of a namespace are known, and drops
/// what was met twice: a request that became a connection meanwhile keeps its cookie
/// (inet_csk_clone_lock() in net/ipv4/inet_connection_sock.c).
pub fn settle(connections: &mut Vec<Connection>) {
    let mut listeners = Listeners::default();
    let listening = connections
        .iter()
        .filter(|connection| connection.state == State::Listen);
    for listener in listening {
        let queue = listener.accept_queue.unwrap_or_default();
        listeners.add(listener.netns, listener.local, queue);
    }
    for connection in connections.iter_mut() {
        settle_one(connection, &listeners);
    }
    let mut met = HashSet::new();
    // The latest is the one to keep.
    connections.reverse();
    connections.retain(|connection| connection.cookie.is_none() || met.insert(connection.sock));
    connections.reverse();
}

fn settle_one(connection: &mut Connection, listeners: &Listeners) {
    let queue = listeners.queue(connection.netns, connection.local);
    if queue.is_ok() {
        connection.direction = Direction::Inbound;
    }
    match connection.acceptance {
        // A listener, a TIME_WAIT, a SYN.
        Err(Unknown::NotOfThisKind) => {}
        Ok(Acceptance::Accepted) if connection.direction == Direction::Outbound => {
            connection.acceptance = Err(Unknown::NotOfThisKind);
        }
        Ok(Acceptance::Accepted) => {}
        _ => connection.accept_queue = queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halfopen_core::model::{connection::AcceptQueue, liveness::fixture::established};

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
    fn what_waits_has_its_listeners_queue() {
        let queue = AcceptQueue::of_one(5, 4);
        let listener = at("0.0.0.0:80", State::Listen).with(|it| {
            it.acceptance = Err(Unknown::NotOfThisKind);
            it.accept_queue = Ok(queue);
        });
        let with =
            |local, acceptance| at(local, State::Established).with(|it| it.acceptance = acceptance);
        let mut all = vec![
            with("10.0.0.1:80", Ok(Acceptance::Queued)),
            with("10.0.0.1:80", Err(Unknown::NotInSockDiag)),
            with("10.0.0.1:81", Ok(Acceptance::Queued)),
            with("10.0.0.1:80", Ok(Acceptance::Accepted)),
            with("10.0.0.1:81", Ok(Acceptance::Accepted)),
            listener,
        ];
        settle(&mut all);
        let found: Vec<_> = all.iter().map(|it| it.accept_queue).collect();
        let (none, unseen) = (Err(Unknown::NotOfThisKind), Err(Unknown::ListenerUnseen));
        let expected = [Ok(queue), Ok(queue), unseen, none, none, Ok(queue)];
        assert_eq!(found, expected);
        assert_eq!(all[3].acceptance, Ok(Acceptance::Accepted));
        // Its own connect(): nobody accepted it.
        assert_eq!(all[4].acceptance, Err(Unknown::NotOfThisKind));
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
