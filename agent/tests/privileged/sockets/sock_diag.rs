//! What sock_diag reports of connections in private network namespaces that break in known ways.

use std::{
    cell::Cell,
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, fchown},
    path::Path,
    time::{Duration, Instant},
};

use crate::fixtures::LIMIT;
use halfopen::{host::namespaces::Found, sockets::sock_diag::dump_everywhere};
use halfopen_core::model::{
    connection::{CarriedBytes, Connection, Direction, State, Timer, TimerKind, Unknown},
    liveness::{Evidence, Liveness, Thresholds, classify},
};
use halfopen_lab::{Family, Host, NetnsLifetime, Pair};
use socket2::{SockRef, TcpKeepalive};

const PORT: u16 = 8080;
/// A uid no test runs as, so that a field left at zero cannot pass.
const UID: u32 = 12_345;
/// Drops TCP at the client's door: SYN-ACKs among it.
const DEAF: &str = "table inet deaf {\nchain input {\ntype filter hook input priority 0; \
                    policy drop; meta l4proto != tcp accept;\n}\n}\n";

fn inode(host: &Host) -> u32 {
    let number = fs::metadata(host.path()).unwrap().ino();
    number.try_into().unwrap()
}

/// Both hosts, by way of their own files.
fn found(pair: &Pair) -> Found {
    [&pair.client, &pair.server]
        .into_iter()
        .map(|host| (inode(host), host.path().to_owned()))
        .collect()
}

fn of_host(host: &Host, found: &Found) -> Vec<Connection> {
    let (connections, unseen) = dump_everywhere(found).unwrap();
    assert_eq!(unseen, 0);
    let netns = inode(host);
    connections
        .into_iter()
        .filter(|it| it.netns == netns && it.state != State::Listen)
        .collect()
}

/// The one connection of a host, once it is as expected.
fn wait_for(
    host: &Host,
    found: &Found,
    what: &str,
    is: impl Fn(&Connection) -> bool,
) -> Connection {
    let deadline = Instant::now() + LIMIT;
    loop {
        let connections = of_host(host, found);
        match &connections[..] {
            [connection] if is(connection) => return connection.clone(),
            _ => assert!(Instant::now() < deadline, "no {what}: {connections:#?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Connected {
    pair: Pair,
    found: Found,
    client: TcpStream,
    server: TcpStream,
    listener: TcpListener,
}

fn listen(pair: &Pair, family: Family) -> TcpListener {
    let address = SocketAddr::new(family.server(), PORT);
    let listener = pair.server.run(move || TcpListener::bind(address));
    listener.unwrap().unwrap()
}

fn connect(name: &str, family: Family) -> Connected {
    let pair = Pair::new(name, family, NetnsLifetime::Mount).unwrap();
    let listener = listen(&pair, family);
    let address = listener.local_addr().unwrap();
    let client = pair.client.run(move || TcpStream::connect(address));
    let client = client.unwrap().unwrap();
    let (server, _) = listener.accept().unwrap();
    Connected {
        found: found(&pair),
        pair,
        client,
        server,
        listener,
    }
}

#[test]
#[ignore = "needs root"]
fn each_namespace_with_its_own_settings() {
    for (name, family) in [("diag4", Family::Ipv4), ("diag6", Family::Ipv6)] {
        let it = connect(name, family);
        let client = it.pair.client.sysctl("ipv4/tcp_keepalive_time", "1234");
        client.unwrap();
        fchown(&it.client, Some(UID), None).unwrap();
        // Not all there are: those of other tests come and go.
        let mut everywhere = it.found.clone();
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        everywhere.insert(own.try_into().unwrap(), "/proc/self/ns/net".into());

        let [outbound] = &of_host(&it.pair.client, &everywhere)[..] else {
            panic!("one connection");
        };
        assert_eq!(outbound.local, it.client.local_addr().unwrap());
        assert_eq!(outbound.remote, it.client.peer_addr().unwrap());
        assert_eq!(outbound.direction, Direction::Outbound);
        assert_eq!(outbound.state, State::Established);
        assert_eq!(outbound.uid, Ok(UID));
        let idle = |it: &Connection| it.policy.as_ref().unwrap().keepalive_idle;
        assert_eq!(idle(outbound), Duration::from_secs(1234));

        let [inbound] = &of_host(&it.pair.server, &everywhere)[..] else {
            panic!("one connection");
        };
        assert_eq!(inbound.local, it.client.peer_addr().unwrap());
        assert_eq!(inbound.direction, Direction::Inbound);
        assert_ne!(idle(inbound), Duration::from_secs(1234));
        drop(it.listener);
    }
}

#[test]
#[ignore = "needs root"]
fn keepalive_probes_into_silence() {
    let it = connect("diagk", Family::Ipv4);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(100);
    let socket = SockRef::from(&it.client);
    socket.set_tcp_keepalive(&keepalive).unwrap();
    it.pair.drop_at_server().unwrap();
    let probing = wait_for(&it.pair.client, &it.found, "probes", |it| {
        it.outstanding.unwrap().probes >= 2
    });
    let timer = probing.timer.unwrap().unwrap();
    assert_eq!(timer.kind, TimerKind::Keepalive);
    assert!(timer.left <= Duration::from_secs(1), "{timer:?}");
    assert!(probing.silence().unwrap() >= Duration::from_secs(2));
    assert_eq!(probing.keepalive, Err(Unknown::NotInSockDiag));
    let verdict = classify(&probing, &Thresholds::default());
    let expected = Liveness::Suspect(Evidence::Keepalive);
    assert_eq!(verdict.liveness, expected, "{}", verdict.why);
}

#[test]
#[ignore = "needs root"]
fn retransmissions_and_then_an_orphan() {
    let mut it = connect("diagr", Family::Ipv6);
    it.pair.drop_at_server().unwrap();
    it.client.write_all(&[1; 100]).unwrap();
    let silent = wait_for(&it.pair.client, &it.found, "retransmissions", |it| {
        it.outstanding.unwrap().retransmits >= 3
    });
    let outstanding = silent.outstanding.unwrap();
    assert_eq!((outstanding.packets_out, outstanding.unsent), (1, 0));
    assert_eq!(outstanding.unacknowledged, 100);
    let timer = silent.timer.unwrap().unwrap();
    assert_eq!(timer.kind, TimerKind::Retransmission);
    // Doubled at each, and never below 200 ms.
    assert!(silent.rto.unwrap() >= Duration::from_millis(800));
    assert!(timer.left <= silent.rto.unwrap(), "{silent:?}");
    assert!(silent.memory.unwrap() >= 100);
    assert!(!silent.orphaned);
    let verdict = classify(&silent, &Thresholds::default());
    let expected = Liveness::Suspect(Evidence::Retransmission);
    assert_eq!(verdict.liveness, expected, "{}", verdict.why);

    drop(it.client);
    let orphan = wait_for(&it.pair.client, &it.found, "orphan", |it| {
        it.state == State::FinWait1
    });
    assert!(orphan.orphaned);
    assert_eq!(orphan.cookie, silent.cookie);
    let verdict = classify(&orphan, &Thresholds::default());
    assert_eq!(verdict.liveness, Liveness::Orphan, "{}", verdict.why);
}

#[test]
#[ignore = "needs root"]
fn window_probes_and_their_answers() {
    let mut it = connect("diagw", Family::Ipv4);
    it.client.set_nonblocking(true).unwrap();
    let mut written = 0;
    // Nobody reads: the server's window closes.
    let mut fill = || loop {
        match it.client.write(&[0; 65_536]) {
            Ok(length) => written += length as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    };
    fill();
    let persist = |it: &Connection| matches!(it.timer, Ok(Some(Timer { kind, .. })) if kind == TimerKind::Persist);
    let closed = wait_for(&it.pair.client, &it.found, "persist timer", persist);
    let outstanding = closed.outstanding.unwrap();
    assert_eq!((outstanding.send_window, outstanding.packets_out), (0, 0));
    assert!(outstanding.unsent > 0);
    let [reader] = &of_host(&it.pair.server, &it.found)[..] else {
        panic!("one connection");
    };
    let unread = reader.outstanding.unwrap().unread;
    assert_eq!(unread + outstanding.unacknowledged, written);
    // The peer lives and says so.
    let since = Instant::now();
    let answered = wait_for(&it.pair.client, &it.found, "answered probe", |it| {
        persist(it) && it.last_ack.unwrap() < since.elapsed()
    });
    let verdict = classify(&answered, &Thresholds::default());
    assert_eq!(verdict.liveness, Liveness::ZeroWindow, "{}", verdict.why);

    it.pair.drop_at_server().unwrap();
    // How old a probe can be that was not there when looked at before; the first look may find one
    // of any age, since a peer leaves some of them unanswered (tcp_invalid_ratelimit).
    let looked = Cell::new((u32::MAX, Instant::now()));
    let silent = wait_for(&it.pair.client, &it.found, "window probes", |it| {
        let outstanding = it.outstanding.unwrap();
        let (probes, since) = looked.replace((outstanding.probes, Instant::now()));
        if outstanding.probes > probes {
            let age = outstanding.latest_probe.unwrap();
            let most = since.elapsed() + Duration::from_millis(50);
            assert!(age <= most, "{age:?} {most:?}");
        }
        outstanding.probes >= 3 && outstanding.latest_probe > Some(Duration::from_millis(500))
    });
    assert!(silent.silence().unwrap() >= silent.outstanding.unwrap().latest_probe.unwrap());
    let verdict = classify(&silent, &Thresholds::default());
    let expected = Liveness::Suspect(Evidence::WindowProbe);
    assert_eq!(verdict.liveness, expected, "{}", verdict.why);
}

#[test]
#[ignore = "needs root"]
fn requests_and_connecting_sockets() {
    for (name, family) in [("diags4", Family::Ipv4), ("diags6", Family::Ipv6)] {
        let pair = Pair::new(name, family, NetnsLifetime::Thread).unwrap();
        let found = found(&pair);
        let listener = listen(&pair, family);
        pair.client.nft(DEAF).unwrap();
        let server = listener.local_addr().unwrap();
        let connecting = pair.client.run(move || {
            let domain = socket2::Domain::for_address(server);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&server.into());
            socket
        });
        let request = wait_for(&pair.server, &found, "resent SYN-ACK", |it| {
            it.state == State::SynRecv && it.outstanding.unwrap().retransmits >= 1
        });
        assert_eq!(request.local, server);
        assert_eq!(request.direction, Direction::Inbound);
        assert!(!request.orphaned);
        assert_eq!(request.keepalive, Err(Unknown::NotOfThisKind));
        let syn_sent = wait_for(&pair.client, &found, "resent SYN", |it| {
            it.state == State::SynSent && it.outstanding.unwrap().retransmits >= 1
        });
        assert_eq!(syn_sent.remote, server);
        assert_eq!(syn_sent.direction, Direction::Outbound);
        assert_eq!(syn_sent.local, request.remote);
        assert_eq!(syn_sent.silence(), Err(Unknown::NotOfThisKind));
        for it in [request, syn_sent] {
            let verdict = classify(&it, &Thresholds::default());
            assert_eq!(verdict.liveness, Liveness::Embryonic, "{}", verdict.why);
        }
        drop(connecting);
    }
}

#[test]
#[ignore = "needs root"]
fn closed_in_order_and_half_closed() {
    let mut it = connect("diagc", Family::Ipv4);
    it.client.write_all(b"hello").unwrap();
    it.client.shutdown(Shutdown::Write).unwrap();
    it.server.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(it.server.read(&mut [0]).unwrap(), 0);
    let half = wait_for(&it.pair.client, &it.found, "FIN_WAIT2", |it| {
        it.state == State::FinWait2
    });
    assert!(!half.orphaned, "held by its application");
    assert_eq!(half.timer, Ok(None));
    let carried = |sent, received| Ok(CarriedBytes { sent, received });
    assert_eq!(half.carried, carried(5, 0));
    let waiting = wait_for(&it.pair.server, &it.found, "CLOSE_WAIT", |it| {
        it.state == State::CloseWait
    });
    assert!(!waiting.orphaned);
    // The FIN counts as one.
    assert_eq!(waiting.carried, carried(0, 6));
    drop(it.client);
    // FIN_WAIT2 with a limit: a TIME_WAIT socket at once, as tcp_fin_timeout is no more than a minute.
    let orphan = wait_for(&it.pair.client, &it.found, "orphan", |it| it.orphaned);
    assert_eq!(orphan.state, State::FinWait2);
    let timer = orphan.timer.unwrap().unwrap();
    assert_eq!(timer.kind, TimerKind::TimeWait);
    assert!(timer.left <= Duration::from_secs(60), "{timer:?}");
    let verdict = classify(&orphan, &Thresholds::default());
    assert_eq!(verdict.liveness, Liveness::Closing, "{}", verdict.why);
}

#[test]
#[ignore = "needs root"]
fn a_namespace_that_is_gone_is_counted() {
    let it = connect("diagg", Family::Ipv4);
    let mut found = it.found.clone();
    found.insert(1, Path::new("/run/netns/not-there").to_owned());
    let (connections, unseen) = dump_everywhere(&found).unwrap();
    assert_eq!(unseen, 1);
    // Two ends and a listener.
    assert_eq!(connections.len(), 3, "{connections:#?}");
    drop(it);
}
