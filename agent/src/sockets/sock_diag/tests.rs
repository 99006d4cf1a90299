use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use super::*;
use crate::host::namespaces::{Depth, find};
use halfopen_core::model::connection::{Direction, State, TimerKind};

/// The socket with these ends; the state tells a listener from its connections.
fn of(connections: &[Connection], local: SocketAddr, remote: SocketAddr) -> &Connection {
    let mut found = connections
        .iter()
        .filter(|it| it.local == local && it.remote == remote);
    let connection = found.next();
    assert_eq!(found.next(), None, "one socket, one connection");
    connection.unwrap_or_else(|| panic!("{local} to {remote} is not in {connections:?}"))
}

/// Whether the kernel of this machine can do it at all.
fn dumped() -> Option<Vec<Connection>> {
    match dump() {
        Ok(connections) => Some(connections),
        Err(error) if error.to_string().contains("tcp_diag") => {
            eprintln!("not tested: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn finds_both_ends(address: IpAddr) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let connected = TcpStream::connect(server).unwrap();
    let client = connected.local_addr().unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"unread").unwrap();
    // Arrived for sure once it can be looked at.
    connected.peek(&mut [0; 6]).unwrap();
    let Some(connections) = dumped() else {
        return;
    };
    let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();

    let inbound = of(&connections, server, client);
    assert_eq!(inbound.state, State::Established);
    assert_eq!(inbound.direction, Direction::Inbound);
    let outbound = of(&connections, client, server);
    assert_eq!(outbound.state, State::Established);
    assert_eq!(outbound.direction, Direction::Outbound);
    assert_eq!(outbound.outstanding.unwrap().unread, 6);
    assert!(outbound.memory.unwrap() > 0, "{outbound:?}");
    for end in [inbound, outbound] {
        assert_eq!(u64::from(end.netns), inode);
        assert!(end.cookie.is_some());
        assert!(!end.orphaned);
        assert_eq!(end.keepalive, Err(Unknown::NotInSockDiag));
        assert_eq!(end.user_timeout, Err(Unknown::NotInSockDiag));
        let policy = end.policy.as_ref().unwrap();
        let idle = fs::read_to_string("/proc/sys/net/ipv4/tcp_keepalive_time").unwrap();
        assert_eq!(policy.keepalive_idle.as_secs().to_string(), idle.trim());
        assert!(end.silence().unwrap() < Duration::from_secs(60), "{end:?}");
        assert!(end.rto.unwrap() >= Duration::from_millis(200), "{end:?}");
        assert!(end.rtt.unwrap() < Duration::from_secs(1), "{end:?}");
        assert!(end.outstanding.unwrap().send_window > 0, "{end:?}");
    }
}

#[test]
fn both_ends_of_a_connection_on_loopback() {
    finds_both_ends(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn both_ends_of_a_connection_on_loopback_of_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("not tested: no IPv6 here");
        return;
    }
    finds_both_ends(Ipv6Addr::LOCALHOST.into());
}

#[test]
fn a_mapped_address_stays_mapped() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
        eprintln!("not tested: no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let Some(connections) = dumped() else {
        return;
    };
    let server = accepted.local_addr().unwrap();
    assert!(server.ip().to_string().starts_with("::ffff:"), "{server}");
    let inbound = of(&connections, server, peer);
    assert_eq!(inbound.direction, Direction::Inbound);
    let (client, server) = (connected.local_addr(), connected.peer_addr());
    let outbound = of(&connections, client.unwrap(), server.unwrap());
    assert_eq!(outbound.direction, Direction::Outbound);
}

#[test]
fn listeners_and_time_wait_are_there_too() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let client = TcpStream::connect(server).unwrap();
    let ended = client.local_addr().unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    drop(client);
    // The end has arrived once it can be read; ours then lets the client go to TIME_WAIT.
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    drop(accepted);
    let waiting = TcpStream::connect(server).unwrap();
    let Some(connections) = dumped() else {
        return;
    };
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let listening = of(&connections, server, nobody);
    assert_eq!(listening.state, State::Listen);
    assert_eq!(listening.outstanding.unwrap().unread, 1, "not accepted");
    let unaccepted = of(&connections, server, waiting.local_addr().unwrap());
    assert!(!unaccepted.orphaned, "{unaccepted:?}");
    let time_wait = of(&connections, ended, server);
    assert_eq!(time_wait.state, State::TimeWait);
    let timer = time_wait.timer.unwrap().unwrap();
    assert_eq!(timer.kind, TimerKind::TimeWait);
    assert!(timer.left <= Duration::from_secs(60), "{timer:?}");
}

#[test]
fn everywhere_includes_here_and_counts_what_is_not_seen() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    if dumped().is_none() {
        return;
    }
    let mut found = find(Depth::Processes);
    // No network namespace.
    found.insert(u32::MAX, "/proc/self/ns/mnt".into());
    let (connections, unseen) = dump_everywhere(&found).unwrap();
    let server = listener.local_addr().unwrap();
    assert!(connections.iter().any(|it| it.local == server));
    assert!(unseen >= 1);

    found.retain(|number, _| *number == u32::MAX);
    assert!(dump_everywhere(&found).is_err());
    assert_eq!(dump_everywhere(&Found::new()).unwrap(), (Vec::new(), 0));
}
