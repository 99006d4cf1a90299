//! Which processes hold which sockets, checked against `ss` and against what the test itself opened.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    process::{self, Child, Command, Stdio},
};

use crate::fixtures::network::enter_private;
use halfopen::{options::Options, sockets::Reader};
use halfopen_core::{
    model::{
        assessed::{Assessed, ListOptions, NameProcesses, ReadMethod},
        connection::{Connection, Holder, State},
        liveness::Thresholds,
    },
    render::list::{self, Report, json, text},
};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

/// Every connection of the namespace, with the processes that hold it.
fn listed(netns: u32) -> Vec<Connection> {
    let mut reader = Reader::open(&Options::default()).unwrap();
    let extent = ListOptions {
        netns: Some(netns),
        most: usize::MAX,
        processes: NameProcesses::Always,
    };
    let reading = reader.list_to(extent, &|_| true).unwrap();
    assert_eq!(reading.source, ReadMethod::Tables);
    reading.connections
}

fn find(connections: &[Connection], local: SocketAddr, remote: SocketAddr) -> &Connection {
    let is_it = |c: &&Connection| c.local == local && c.remote == remote;
    connections.iter().find(is_it).unwrap()
}

fn holders(connection: &Connection) -> &[Holder] {
    connection.processes.as_deref().unwrap()
}

/// Pid and descriptor of each holder.
fn numbers(connection: &Connection) -> Vec<(u32, u32)> {
    let holders = holders(connection).iter();
    holders.map(|holder| (holder.pid, holder.fd)).collect()
}

/// A descriptor of this process.
fn own(socket: &impl AsRawFd) -> (u32, u32) {
    (process::id(), socket.as_raw_fd().cast_unsigned())
}

fn pair() -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

/// A process that has a socket as its standard output and calls itself so, until this is dropped.
struct Keeper(Child);

impl Keeper {
    const FD: u32 = 1;

    fn start(socket: OwnedFd, name: &[u8]) -> Self {
        let script = "printf %b \"$0\" > /proc/$$/comm; echo >&2; read -r nothing";
        let name: String = name.iter().map(|byte| format!("\\0{byte:03o}")).collect();
        let mut child = Command::new("sh")
            .args(["-c", script, &name])
            .stdin(Stdio::piped())
            .stdout(socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = child.stderr.as_mut().unwrap();
        said.read_exact(&mut [0]).unwrap();
        Self(child)
    }

    fn number(&self) -> (u32, u32) {
        (self.0.id(), Self::FD)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What `ss` says: pid and lowest descriptor of each process, by local and remote address.
fn by_ss() -> BTreeMap<(String, String), BTreeMap<u32, u32>> {
    let out = Command::new("ss").args(["-tanpH"]).output().unwrap();
    assert!(out.status.success());
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut sockets = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let holders: &mut BTreeMap<u32, u32> = sockets
            .entry((fields[3].to_owned(), fields[4].to_owned()))
            .or_default();
        for holder in line.split("pid=").skip(1) {
            let (pid, rest) = holder.split_once(",fd=").unwrap();
            let fd = rest.split(')').next().unwrap().parse().unwrap();
            let lowest = holders.entry(pid.parse().unwrap()).or_insert(fd);
            *lowest = fd.min(*lowest);
        }
    }
    sockets
}

/// As `ss` writes them.
fn ends(connection: &Connection) -> (String, String) {
    let end = |address: SocketAddr| match address.port() {
        0 => format!("{}:*", address.ip()),
        _ => address.to_string(),
    };
    (end(connection.local), end(connection.remote))
}

fn report(rows: &[Assessed]) -> Report<'_> {
    Report {
        rows,
        total: 1,
        beyond_limit: 0,
        noteworthy_only: false,
        uncertain: 0,
        unseen_namespaces: 0,
        incomplete: 0,
        source: ReadMethod::Tables,
        thresholds: Thresholds::default(),
    }
}

#[test]
#[ignore = "needs root"]
fn each_holder_is_named_and_ss_agrees() {
    let netns = enter_private();
    let kept: Vec<_> = (0..40).map(|_| pair()).collect();
    let (listener, client, server) = pair();
    let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    // Held twice by this process, and once by another each.
    let again = client.try_clone().unwrap();
    let keeper = Keeper::start(client.try_clone().unwrap().into(), b"keeper");
    let acceptor = Keeper::start(listener.try_clone().unwrap().into(), b"acceptor");
    // Not accepted.
    let connecting = TcpStream::connect(there).unwrap();
    // Closed here, and there not yet.
    let (_, closed, open) = pair();
    let left = (closed.local_addr().unwrap(), open.local_addr().unwrap());
    drop(closed);

    let connections = listed(netns);
    // In the order of process ids, which wrap around.
    let in_order = |mut holders: [(u32, u32); 2]| {
        holders.sort_unstable();
        holders
    };
    let client_holders = in_order([own(&client), keeper.number()]);
    assert_eq!(numbers(find(&connections, here, there)), client_holders);
    assert!(own(&client) < own(&again));
    let mut names = holders(find(&connections, here, there)).iter();
    assert!(names.any(|holder| holder.pid == keeper.number().0 && holder.name == b"keeper"));
    let server_end = find(&connections, there, here);
    assert_eq!(numbers(server_end), [own(&server)]);
    let listening = connections
        .iter()
        .find(|c| c.state == State::Listen && c.local == there)
        .unwrap();
    let listening_holders = in_order([own(&listener), acceptor.number()]);
    assert_eq!(numbers(listening), listening_holders);
    let waiting = connecting.local_addr().unwrap();
    assert_eq!(
        numbers(find(&connections, waiting, there)),
        [own(&connecting)]
    );
    assert_eq!(numbers(find(&connections, there, waiting)), []);
    let orphan = find(&connections, left.0, left.1);
    assert!(orphan.orphaned && orphan.state == State::FinWait2);
    assert_eq!(numbers(orphan), []);

    let ss = by_ss();
    assert!(ss.len() > 120, "{ss:?}");
    let ours: BTreeMap<_, _> = connections
        .iter()
        .map(|c| (ends(c), numbers(c).into_iter().collect()))
        .collect();
    assert_eq!(ours, ss);
    drop(kept);
}

#[test]
#[ignore = "needs root"]
fn a_hostile_name_reaches_programs_and_spoils_no_table() {
    let netns = enter_private();
    let (_listener, client, _server) = pair();
    let local = client.local_addr().unwrap();
    let remote = client.peer_addr().unwrap();
    let name = b"\"\n\x1b[2J\xff,1:2\\{";
    let _keeper = Keeper::start(client.into(), name);
    let connections = listed(netns);
    let connection = find(&connections, local, remote);
    assert_eq!(holders(connection)[0].name, name);
    let pid = holders(connection)[0].pid;

    let rows = [Assessed::new(connection.clone(), &Thresholds::default())];
    for width in [None, Some(80), Some(300)] {
        let options = list::Options {
            width,
            header: false,
            color: false,
        };
        let shown = text(&report(&rows), &options).table;
        let name = match width {
            None => r#""\u{a}\u{1b}[2J\xff\u{2c}1\u{3a}2\{"#,
            Some(_) => r#""\u{a}\u{1b}[2J…"#,
        };
        let expected = format!("{name}:{pid}:1");
        assert!(shown.contains(&expected), "{shown}");
        let hostile = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(hostile), "{shown}");
    }
    let json: Value = serde_json::from_str(&json(&report(&rows)).unwrap()).unwrap();
    let process = &json["connections"][0]["processes"][0];
    assert_eq!(process["pid"], pid);
    assert_eq!(process["name"], "\"\n\u{1b}[2J\u{fffd},1:2\\{");
}

#[test]
#[ignore = "needs root"]
fn a_subflow_is_held_by_whom_its_connection_is() {
    let netns = enter_private();
    let open = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    let Ok(listener) = open() else {
        println!("skipped: this kernel has no MPTCP");
        return;
    };
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&anywhere.into()).unwrap();
    listener.listen(1).unwrap();
    let there = listener.local_addr().unwrap();
    let client = open().unwrap();
    client.connect(&there).unwrap();
    let (server, here) = listener.accept().unwrap();
    let (here, there) = (here.as_socket().unwrap(), there.as_socket().unwrap());

    let connections = listed(netns);
    let (ours, theirs) = (
        find(&connections, here, there),
        find(&connections, there, here),
    );
    assert!(ours.mptcp && theirs.mptcp);
    assert_eq!(numbers(ours), [own(&client)]);
    assert_eq!(numbers(theirs), [own(&server)]);
}
