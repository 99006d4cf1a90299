//! Records of real sockets, checked against what the sockets themselves and the host say.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, fchown},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::fixtures::{LIMIT, network::enter_private};
use halfopen::{collector::Monitor, options::Options};
use halfopen_common::{Record, direction, state};
use halfopen_core::metrics::cardinality::Limits;
use halfopen_core::model::{
    connection::Direction,
    death::Cause,
    group::{Counts, Group},
    snapshot::WalkStatus,
};
use socket2::{Domain, Socket, TcpKeepalive, Type};

/// A uid no test runs as, so that a field left at zero cannot pass.
const UID: u32 = 12_345;

/// AF_INET and AF_INET6.
const INET: u16 = 2;
const INET6: u16 = 10;

struct SocketPair {
    client: Socket,
    server: Socket,
    local: SocketAddr,
    remote: SocketAddr,
    family: u16,
}

/// Connects on loopback; a mapped address is an IPv6 socket that speaks IPv4.
fn connect(listen: IpAddr, family: u16, backlog: i32) -> SocketPair {
    let domain = if family == INET6 {
        Domain::IPV6
    } else {
        Domain::IPV4
    };
    let listener = Socket::new(domain, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::new(listen, 0).into()).unwrap();
    listener.listen(backlog).unwrap();
    let remote = listener.local_addr().unwrap();
    let client = Socket::new(domain, Type::STREAM, None).unwrap();
    client.connect(&remote).unwrap();
    fchown(client.as_fd(), Some(UID), None).unwrap();
    let (server, _) = listener.accept().unwrap();
    SocketPair {
        local: client.local_addr().unwrap().as_socket().unwrap(),
        remote: remote.as_socket().unwrap(),
        client,
        server,
        family,
    }
}

fn mapped(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The record of the socket with this local and this remote address.
fn find(records: &[Record], local: SocketAddr, remote: SocketAddr) -> Option<Record> {
    let is_it =
        |record: &&Record| record.local_port == local.port() && record.remote_port == remote.port();
    records.iter().find(is_it).copied()
}

/// Waits until every socket has a record with at least this many keepalive probes.
fn wait(monitor: &Monitor, sockets: &[(SocketAddr, SocketAddr)], probes: u32) -> Vec<Record> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let records = monitor.records();
        let found: Vec<_> = sockets
            .iter()
            .filter_map(|(local, remote)| find(&records, *local, *remote))
            .collect();
        let all = found.len() == sockets.len();
        if all && found.iter().all(|record| record.keepalive_probes >= probes) {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "only {found:?} of {} records",
            sockets.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The id of this process's cgroup (v2) is the inode number of its directory.
fn cgroup() -> u64 {
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = memberships
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .unwrap();
    let point = PathBuf::from(mount.split(' ').nth(4).unwrap());
    fs::metadata(point.join(path.trim_start_matches('/')))
        .unwrap()
        .ino()
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_record_tells_whose_socket_it_is_and_what_happened() {
    let monitor = Monitor::start(&Options::default()).unwrap();
    let connections = [
        connect(Ipv4Addr::LOCALHOST.into(), INET, 1),
        connect(Ipv6Addr::LOCALHOST.into(), INET6, 1),
        connect(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), INET6, 1),
    ];
    let began = monotonic_ns();
    assert!(
        monitor.records().iter().all(|record| record.uid != UID),
        "a healthy socket has no record"
    );
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new()
        .with_time(second)
        .with_interval(second)
        .with_retries(9);
    for connection in &connections {
        connection.client.set_tcp_keepalive(&keepalive).unwrap();
    }
    let clients: Vec<_> = connections.iter().map(|c| (c.local, c.remote)).collect();
    let records = wait(&monitor, &clients, 2);
    let now = monotonic_ns();
    let netns = fs::metadata("/proc/self/ns/net").unwrap().ino();
    for (record, connection) in records.iter().zip(&connections) {
        assert_eq!(record.local, mapped(connection.local), "{record:?}");
        assert_eq!(record.remote, mapped(connection.remote), "{record:?}");
        assert_eq!(record.family, connection.family, "{record:?}");
        assert_eq!(u64::from(record.net.inum), netns, "{record:?}");
        assert_eq!(record.cgroup, cgroup(), "{record:?}");
        assert_eq!(record.uid, UID, "{record:?}");
        assert_eq!(record.direction, direction::OUTBOUND, "{record:?}");
        assert_eq!(record.state, 1, "established: {record:?}");
        assert_eq!(
            record.window_probes + record.resets_sent + record.resets_received,
            0,
            "{record:?}"
        );
        let times = [began, record.first_ns, record.probe_ns, now];
        assert!(times.is_sorted(), "{times:?}");
        assert!(record.last_ns >= record.probe_ns);
        assert!(
            record.first_ns < record.probe_ns,
            "two probes, a second apart"
        );
        assert!(record.keepalive_answered >= 1, "{record:?}");
    }

    // A reset from the peer ends each; the record of a socket that is still open stays.
    for connection in &connections {
        connection.server.set_linger(Some(Duration::ZERO)).unwrap();
    }
    let mut clients = Vec::new();
    let mut ends = Vec::new();
    for connection in connections {
        drop(connection.server);
        let error = (&connection.client).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        clients.push(connection.client);
        ends.push((connection.local, connection.remote));
    }
    let records = monitor.records();
    for (local, remote) in &ends {
        let record = records
            .iter()
            .find(|record| record.local_port == local.port() && record.remote_port == remote.port())
            .unwrap();
        assert_eq!(record.resets_received, 1, "{record:?}");
        assert_eq!(
            record.ending,
            halfopen_common::Ending::ResetReceived as u8,
            "{record:?}"
        );
        assert_ne!(
            record.state,
            state::CLOSE,
            "the state it died in: {record:?}"
        );
    }
    drop(clients);
    let deadline = Instant::now() + LIMIT;
    while monitor.records().iter().any(|record| record.uid == UID) {
        assert!(
            Instant::now() < deadline,
            "a destroyed socket keeps no record"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root"]
fn the_accepting_side_is_inbound_whatever_the_backlog() {
    let monitor = Monitor::start(&Options::default()).unwrap();
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let mut connections = Vec::new();
    // A listener's child inherits its backlog limit, which is 0 after listen(0).
    for backlog in [0, 128] {
        connections.extend([
            connect(Ipv4Addr::LOCALHOST.into(), INET, backlog),
            connect(Ipv6Addr::LOCALHOST.into(), INET6, backlog),
            connect(mapped.into(), INET6, backlog),
        ]);
    }
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second);
    for connection in &connections {
        connection.client.set_tcp_keepalive(&keepalive).unwrap();
        connection.server.set_tcp_keepalive(&keepalive).unwrap();
    }
    let clients: Vec<_> = connections.iter().map(|c| (c.local, c.remote)).collect();
    let servers: Vec<_> = connections.iter().map(|c| (c.remote, c.local)).collect();
    for record in wait(&monitor, &clients, 1) {
        assert_eq!(record.direction, direction::OUTBOUND, "{record:?}");
    }
    for record in wait(&monitor, &servers, 1) {
        assert_eq!(record.direction, direction::INBOUND, "{record:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_full_table_loses_detail_and_no_count() {
    let mut monitor = Monitor::start(&Options {
        max_records: 1,
        ..Options::default()
    })
    .unwrap();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into())
        .unwrap();
    listener.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.as_socket().unwrap().port();
    let mut kept = Vec::new();
    for _ in 0..8 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.connect(&address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"unread").unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        // The server's socket lives on, so that its record fills the table.
        kept.push(server);
    }
    let snapshot = monitor.snapshot();
    let inbound = snapshot
        .groups
        .iter()
        .find(|(group, _)| group.port == Some(port) && group.direction.as_str() == "inbound")
        .unwrap();
    assert_eq!(inbound.1.resets_received, 8);
    assert!(
        snapshot.losses.map_full["sockets"] >= 7,
        "{:?}",
        snapshot.losses
    );
    assert!(monitor.records().len() <= 1);
}

/// Then no socket can be assessed; what the hooks record is another matter.
#[test]
#[ignore = "needs root"]
fn records_are_counted_where_no_walk_succeeds() {
    enter_private();
    // From this setting the walk learns how long the kernel's jiffies are; of 0 it cannot.
    fs::write("/proc/sys/net/ipv4/tcp_keepalive_time", "0").unwrap();
    let mut monitor = Monitor::start(&Options::default()).unwrap();
    let connection = connect(Ipv4Addr::LOCALHOST.into(), INET, 1);
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second);
    connection.client.set_tcp_keepalive(&keepalive).unwrap();
    wait(&monitor, &[(connection.local, connection.remote)], 1);
    let snapshot = monitor.snapshot();
    assert!(
        matches!(snapshot.walk, WalkStatus::Failed(_)),
        "{:?}",
        snapshot.walk
    );
    assert!(snapshot.coverage.suspects.is_err());
    assert_ne!(snapshot.records, 0);
    let group = snapshot.groups.iter();
    let mut group = group.filter(|(group, _)| group.port == Some(connection.remote.port()));
    let counts = group.next().unwrap().1;
    assert_eq!(
        counts.keepalive_probes_answered, counts.keepalive_probes,
        "answers are looked for"
    );
}

/// More groups and more records with news than one run of a program has room to hand out.
#[test]
#[ignore = "needs root"]
fn many_groups_and_records_are_read_in_several_runs() {
    const MANY: u16 = 900;
    enter_private();
    let mut monitor = Monitor::start(&Options {
        // All by name.
        limits: Limits {
            max_groups: usize::MAX,
            max_series: usize::MAX,
            ..Limits::default()
        },
        ..Options::default()
    })
    .unwrap();
    let ports = 20_000..20_000 + MANY;
    let refused = |port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let error = socket.connect(&address.into()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        // As long as it lives, so does its record.
        socket
    };
    let kept: Vec<Socket> = ports.clone().map(refused).collect();
    let snapshot = monitor.snapshot();
    for port in ports {
        let is_it = |(group, _): &(&Group, &Counts)| {
            group.port == Some(port) && group.direction == Direction::Outbound
        };
        let (_, counts) = snapshot.groups.iter().find(is_it).unwrap();
        assert_eq!(counts.deaths, [(Cause::Refused, 1)].into(), "{port}");
        assert_eq!(counts.resets_received, 1, "{port}");
    }
    let own = |record: &&Record| (20_000..20_000 + MANY).contains(&record.remote_port);
    assert_eq!(
        monitor.records().iter().filter(own).count(),
        usize::from(MANY)
    );
    assert!(snapshot.records >= u64::from(MANY), "{}", snapshot.records);
    drop(kept);
}
