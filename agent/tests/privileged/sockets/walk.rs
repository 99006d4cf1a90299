//! The walk over real sockets, checked against what /proc and the sockets themselves say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use crate::fixtures::network::enter_private;
use halfopen::{options::Options, sockets::Reader};
use halfopen_core::model::{
    assessed::ReadMethod,
    connection::{Connection, Direction, Keepalive, Setting, State},
    group::Group,
    liveness::Thresholds,
};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

const ALL: fn(&Connection) -> bool = |_| true;

fn open() -> Reader {
    let reader = Reader::open(&Options::default()).unwrap();
    assert!(
        matches!(reader, Reader::Walk { .. }),
        "this kernel's tables cannot be walked"
    );
    reader
}

fn list(reader: &mut Reader, netns: u32) -> Vec<Connection> {
    let reading = reader.list(Some(netns), usize::MAX, &ALL).unwrap();
    assert_eq!(
        (reading.incomplete, reading.source),
        (0, ReadMethod::Tables)
    );
    reading.connections
}

/// Local and remote port and state of every line of /proc/net/tcp and tcp6 here.
fn proc_table() -> Vec<(u16, u16, State)> {
    let mut sockets = Vec::new();
    for file in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = |address: &str| {
                u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap()
            };
            let state = u8::from_str_radix(fields[3], 16).unwrap();
            sockets.push((
                port(fields[1]),
                port(fields[2]),
                State::of_kernel(state).unwrap(),
            ));
        }
    }
    sockets.sort();
    sockets
}

fn walked_table(connections: &[Connection]) -> Vec<(u16, u16, State)> {
    let mut sockets: Vec<_> = connections
        .iter()
        .map(|c| (c.local.port(), c.remote.port(), c.state))
        .collect();
    sockets.sort();
    sockets
}

fn pair(ip: IpAddr) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

#[test]
#[ignore = "needs root"]
fn every_socket_is_found_once_with_its_state_and_settings() {
    let netns = enter_private();
    let mut kept = Vec::new();
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        for _ in 0..50 {
            kept.push(pair(ip));
        }
    }
    // CLOSE_WAIT and FIN_WAIT2.
    let half = pair(Ipv4Addr::LOCALHOST.into());
    half.1.shutdown(Shutdown::Write).unwrap();
    // TIME_WAIT at the client.
    let closed = pair(Ipv4Addr::LOCALHOST.into());
    drop((closed.1, closed.2));
    // Settings that no namespace has by default, and data that nobody reads.
    let (_listener, client, server) = pair(Ipv4Addr::LOCALHOST.into());
    let settings = TcpKeepalive::new()
        .with_time(Duration::from_secs(17))
        .with_interval(Duration::from_secs(3))
        .with_retries(5);
    let socket = SockRef::from(&client);
    socket.set_tcp_keepalive(&settings).unwrap();
    socket
        .set_tcp_user_timeout(Some(Duration::from_millis(4_321)))
        .unwrap();
    (&client).write_all(&[7; 1_234]).unwrap();
    fs::write("/proc/sys/net/ipv4/tcp_keepalive_intvl", "11").unwrap();
    SockRef::from(&server).set_keepalive(true).unwrap();

    let mut reader = open();
    let connections = list(&mut reader, netns);
    assert_eq!(walked_table(&connections), proc_table());
    assert!(
        connections
            .iter()
            .all(|connection| connection.netns == netns)
    );
    let states: BTreeSet<State> = connections.iter().map(|c| c.state).collect();
    for state in [
        State::Listen,
        State::CloseWait,
        State::FinWait2,
        State::TimeWait,
    ] {
        assert!(states.contains(&state), "{states:?}");
    }

    let find = |local: SocketAddr, remote: SocketAddr| {
        let mut found = connections
            .iter()
            .filter(|c| c.local == local && c.remote == remote);
        let connection = found.next().unwrap();
        assert!(found.next().is_none());
        connection
    };
    let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let (ours, theirs) = (find(here, there), find(there, here));
    let keepalive = |setting, idle, interval, probes| {
        Ok(Keepalive {
            setting,
            idle: Duration::from_secs(idle),
            interval: Duration::from_secs(interval),
            probes,
        })
    };
    assert_eq!(ours.keepalive, keepalive(Setting::Custom, 17, 3, 5));
    assert_eq!(theirs.keepalive, keepalive(Setting::Default, 7200, 11, 9));
    assert_eq!(ours.user_timeout, Ok(Some(Duration::from_millis(4_321))));
    assert_eq!(theirs.user_timeout, Ok(None));
    assert_eq!(ours.direction, Direction::Outbound);
    assert_eq!(theirs.direction, Direction::Inbound);
    assert_eq!(theirs.outstanding.unwrap().unread, 1_234);
    assert!(
        theirs.memory.unwrap() > ours.memory.unwrap(),
        "the unread data is charged"
    );

    // The sums of a walk that lists nothing are the same.
    let walked = reader.walk(&Thresholds::default(), || {}).unwrap();
    let mut by_state: BTreeMap<State, u64> = BTreeMap::new();
    for (_, _, state) in proc_table() {
        *by_state.entry(state).or_default() += 1;
    }
    assert_eq!(walked.census.namespaces[&netns], by_state);
    drop((kept, half));
}

/// A child of such a listener looks like a client's socket at first sight, and its client's port
/// would become a label.
#[test]
#[ignore = "needs root"]
fn a_listener_without_a_backlog_has_inbound_connections_in_the_sums_too() {
    const PORT: u16 = 7_777;
    let netns = enter_private();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    let from = client.local_addr().unwrap().port();
    let walked = open().walk(&Thresholds::default(), || {}).unwrap();
    let groups = &walked.census.groups;
    assert!(groups.keys().all(|group| group.port != Some(from)));
    for direction in [Direction::Inbound, Direction::Outbound] {
        let is_it = |group: &&Group| group.port == Some(PORT) && group.direction == direction;
        let group = groups.keys().find(is_it).unwrap();
        let established = groups[group].states.get(&State::Established);
        assert_eq!(established, Some(&1), "{direction:?} of {netns}");
    }
    drop(server);
}

/// Opens and closes connections by the hundred, in its own namespace and in others that come and go.
fn churn(stop: &AtomicBool, made: &AtomicU32) {
    enter_private();
    // Or TIME_WAITs would soon outnumber all else.
    fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "64").unwrap();
    while !stop.load(Ordering::Relaxed) {
        let inner = thread::spawn(|| {
            enter_private();
            drop(pair(Ipv4Addr::LOCALHOST.into()));
        });
        let pairs: Vec<_> = (0..100).map(|_| pair(Ipv4Addr::LOCALHOST.into())).collect();
        drop(pairs);
        inner.join().unwrap();
        made.fetch_add(1, Ordering::Relaxed);
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[ignore = "needs root"]
fn a_thousand_walks_while_everything_changes() {
    let netns = enter_private();
    let pairs: Vec<_> = (0..100).map(|_| pair(Ipv4Addr::LOCALHOST.into())).collect();
    let expected = proc_table();
    let mut reader = open();
    let (stop, made) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| churn(&stop, &made));
        while made.load(Ordering::Relaxed) == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        // In the steady state, one namespace of the churn more or less.
        let before = descriptors();
        for number in 0..1000 {
            if number % 10 == 0 {
                let everything = reader.list(None, usize::MAX, &ALL).unwrap().connections;
                let mut seen = BTreeSet::new();
                let flows = everything.iter().filter(|c| c.state != State::Listen);
                for c in flows {
                    let once = seen.insert((c.netns, c.local, c.remote));
                    assert!(once, "{c:?} was found twice");
                }
                let own: Vec<Connection> = everything
                    .into_iter()
                    .filter(|c| c.netns == netns)
                    .collect();
                assert_eq!(walked_table(&own), expected);
            } else {
                let walked = reader.walk(&Thresholds::default(), || {}).unwrap();
                let own: u64 = walked.census.namespaces[&netns].values().sum();
                assert_eq!(own, expected.len() as u64);
            }
        }
        stop.store(true, Ordering::Relaxed);
        // The churn holds its sockets and two listeners' descriptors: far fewer than a leak of one a walk.
        assert!(
            descriptors() < before + 400,
            "{} after {before}",
            descriptors()
        );
    });
    assert!(
        made.load(Ordering::Relaxed) > 1,
        "nothing changed meanwhile"
    );
    drop(pairs);
}

#[test]
#[ignore = "needs root"]
fn a_namespace_with_a_table_of_its_own_is_walked_too() {
    enter_private();
    let setting = "/proc/sys/net/ipv4/tcp_child_ehash_entries";
    if fs::write(setting, "16").is_err() {
        println!("skipped: {setting} is not there (Linux 6.1+)");
        return;
    }
    thread::spawn(|| {
        let netns = enter_private();
        let pairs: Vec<_> = (0..200).map(|_| pair(Ipv4Addr::LOCALHOST.into())).collect();
        // Chains of some 25: more than one run takes at once.
        assert_eq!(walked_table(&list(&mut open(), netns)), proc_table());
        drop(pairs);
    })
    .join()
    .unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_filter_keeps_what_is_not_wanted_out_and_a_limit_says_so() {
    let netns = enter_private();
    let pairs: Vec<_> = (0..20).map(|_| pair(Ipv4Addr::LOCALHOST.into())).collect();
    let mut reader = open();
    let established = |c: &Connection| c.state == State::Established;
    let reading = reader.list(Some(netns), 30, &established).unwrap();
    assert_eq!((reading.connections.len(), reading.left_out), (30, 10));
    assert_eq!(reading.total, 60);
    drop(pairs);
}
