//! Accept queues and what waits in them, by both readers; the truth is what was accepted, and what
//! /proc/net/tcp shows of the listener (Recv-Q and Send-Q of `ss`).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
};

use crate::fixtures::network::enter_private;
use halfopen::{
    host::namespaces::Found,
    options::Options,
    sockets::{Reader, sock_diag::dump_everywhere},
};
use halfopen_core::model::{
    connection::{AcceptQueue, Acceptance, Connection, Direction, State},
    liveness::{Liveness, Thresholds},
};
use socket2::{Domain, Socket, Type};

const PORT: u16 = 7_778;
const BACKLOG: i32 = 2;

fn listen(address: SocketAddr) -> Socket {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(BACKLOG).unwrap();
    listener
}

/// Connections in the queue of the only listener here: tcp4_seq_show() puts `sk_ack_backlog` in rx_queue.
fn held(file: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let lines = text.lines().skip(1).map(|line| line.split_whitespace());
    let rows = lines.map(Iterator::collect::<Vec<_>>);
    let mut listeners = rows.filter(|row| row[3] == "0A");
    let (_, held) = listeners.next().unwrap()[4].split_once(':').unwrap();
    u64::from_str_radix(held, 16).unwrap()
}

fn walked(netns: u32) -> Vec<Connection> {
    let mut reader = Reader::open(&Options::default()).unwrap();
    assert!(matches!(reader, Reader::Walk { .. }));
    reader
        .list(Some(netns), usize::MAX, &|_| true)
        .unwrap()
        .connections
}

fn dumped(netns: u32) -> Vec<Connection> {
    let found = Found::from([(netns, "/proc/thread-self/ns/net".into())]);
    dump_everywhere(&found).unwrap().0
}

/// How far the connections of the listener have come, and the queue that each names.
fn inbound(connections: &[Connection]) -> Vec<(Acceptance, Option<AcceptQueue>)> {
    let children = connections
        .iter()
        .filter(|it| it.local.port() == PORT && it.state == State::Established);
    let mut found: Vec<_> = children
        .map(|it| (it.acceptance.unwrap(), it.accept_queue.ok()))
        .collect();
    found.sort();
    found
}

fn check(ip: IpAddr, file: &str) {
    let netns = enter_private();
    // Above TCP_TIMEWAIT_LEN: an orphan in FIN_WAIT2 stays a full socket, with its flags.
    fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "68").unwrap();
    let address = SocketAddr::new(ip, PORT);
    let listener = listen(address);
    // One more than the backlog.
    let clients: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut accepted = Vec::new();
    for waiting in [3, 2] {
        assert_eq!(held(file), waiting);
        let queue = AcceptQueue {
            held: waiting,
            limit: BACKLOG.unsigned_abs().into(),
            listeners: 1,
        };
        for connections in [walked(netns), dumped(netns)] {
            let listening = connections.iter().find(|it| it.state == State::Listen);
            assert_eq!(listening.unwrap().accept_queue, Ok(queue));
            let queued = (0..waiting).map(|_| (Acceptance::Queued, Some(queue)));
            let mut expected: Vec<_> = queued.collect();
            expected.extend(accepted.iter().map(|_| (Acceptance::Accepted, None)));
            assert_eq!(inbound(&connections), expected);
            assert_eq!(queue.is_full(), waiting == 3);
        }
        accepted.push(listener.accept().unwrap().0);
    }
    // The sums of a walk keep those that wait apart from those that are held.
    let mut reader = Reader::open(&Options::default()).unwrap();
    let idle = Thresholds {
        idle: std::time::Duration::ZERO,
        ..Thresholds::default()
    };
    let census = reader.walk(&idle, || {}).unwrap().census;
    let groups = census.groups.iter();
    let mut sums = groups
        .filter(|(group, _)| group.port == Some(PORT) && group.direction == Direction::Inbound);
    let (_, sums) = sums.next().unwrap();
    assert_eq!(sums.accept_queue, AcceptQueue::of_one(1, 2));
    assert_eq!(held(file), 1);
    assert_eq!(sums.idle.values().sum::<u64>(), 2);
    assert!(sums.memory[Liveness::Unaccepted.as_str()] > 0);
    // Closed by its application it is no longer held, and does not wait either.
    drop(accepted);
    for connections in [walked(netns), dumped(netns)] {
        let closed = connections
            .iter()
            .filter(|it| it.local.port() == PORT && it.state == State::FinWait2);
        let closed: Vec<_> = closed.map(|it| (it.acceptance, it.orphaned)).collect();
        assert_eq!(closed, [(Ok(Acceptance::Accepted), true); 2]);
    }
    drop(clients);
}

#[test]
#[ignore = "needs root"]
fn what_waits_to_be_accepted_is_told_from_what_is_held() {
    check(Ipv4Addr::LOCALHOST.into(), "tcp");
    check(Ipv6Addr::LOCALHOST.into(), "tcp6");
}
