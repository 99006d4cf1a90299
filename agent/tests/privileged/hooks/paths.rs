//! Paths of deaths that share a cause with others, against what was done to the connection.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    fixtures::{
        agent::AgentProcess,
        scrape::{Scrape, json},
    },
    support::wait,
};
use halfopen_lab::{Family, NetnsLifetime, Pair, net::destroy::destroy};
use socket2::{SockRef, TcpKeepalive};

const PORT: u16 = 7_792;

/// The server's end is gone, and its reset did not arrive: as if the server had been restarted.
#[test]
#[ignore = "needs root"]
fn a_reset_that_answers_a_probe_says_that_the_peer_forgot() {
    let pair = Pair::new("paths", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = pair.client.inum().unwrap();
    let to = SocketAddr::new(Family::Ipv4.server(), PORT);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    let connect = move || TcpStream::connect(to).unwrap();
    let [probed, idle] = [(); 2].map(|()| pair.client.run(connect).unwrap());
    let accepted = [(); 2].map(|()| listener.accept().unwrap());
    let agent = AgentProcess::start(&[]);

    pair.drop_inbound_at_client().unwrap();
    let from = probed.local_addr().unwrap();
    pair.server.run(move || destroy(to, from)).unwrap().unwrap();
    pair.restore_client().unwrap();
    let every_second = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1));
    SockRef::from(&probed)
        .set_tcp_keepalive(&every_second)
        .unwrap();
    // Nothing was asked of this one when its peer ended it.
    let idle_from = idle.local_addr().unwrap();
    pair.server
        .run(move || destroy(to, idle_from))
        .unwrap()
        .unwrap();

    let path = |port: u16| {
        let report = json(&agent, "/api/v1/deaths?limit=10000");
        let all = report["deaths"].as_array().unwrap();
        let mut mine = all
            .iter()
            .filter(|it| it["netns"] == netns && it["local"]["port"] == port);
        mine.next().map(|it| {
            let word = |key: &str| it[key].as_str().unwrap().to_owned();
            (word("cause"), word("path"))
        })
    };
    let own = |word: &str| Some(("reset_received".to_owned(), word.to_owned()));
    for (from, expected) in [(idle_from, "reset_received"), (from, "peer_forgot")] {
        wait("a death is reported", || path(from.port()).is_some());
        assert_eq!(path(from.port()), own(expected));
    }
    // The last of them answered for no connection, at the port where the listener is.
    let sent = pair.server.counters().unwrap().get("OutRsts");
    assert_eq!(sent, 3);
    let inbound = [("direction", "inbound"), ("port", "7792")];
    let counted = || Scrape::of(&agent).sum("halfopen_resets_sent_total", &inbound);
    wait("all resets are the listener's owner's", || {
        counted() == sent
    });
    drop(accepted);
}

/// A server closes what was idle for its timeout, and the client, which has not heard of it, sends a request; then
/// one that has heard of it sends all the same.
#[test]
#[ignore = "needs root"]
fn data_after_our_close_is_a_reset_of_ours_with_the_time_that_was_idle_before() {
    const IDLE: Duration = Duration::from_secs(5);
    const UNHEARD: Duration = Duration::from_secs(3);
    let pair = Pair::new("closes", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = pair.server.inum().unwrap();
    let to = SocketAddr::new(Family::Ipv4.server(), PORT);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    let agent = AgentProcess::start(&[]);
    let before = Scrape::of(&agent);
    let client = pair.client.run(move || TcpStream::connect(to).unwrap());
    let mut client = client.unwrap();
    let (mut server, from) = listener.accept().unwrap();

    client.write_all(b"request").unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    server.write_all(b"answer").unwrap();
    let answered = Instant::now();
    client.read_exact(&mut [0; 6]).unwrap();
    thread::sleep(IDLE);
    pair.drop_fin_at_client().unwrap();
    drop(server);
    let idle_at_most = answered.elapsed();
    // What passes after the close belongs to no idle time.
    thread::sleep(UNHEARD);
    client.write_all(b"next request").unwrap();

    let deaths = |from: SocketAddr| {
        let report = json(&agent, "/api/v1/deaths?limit=10000");
        let all = report["deaths"].as_array().unwrap();
        let of_server = all
            .iter()
            .filter(|it| it["netns"] == netns && it["remote"]["port"] == from.port());
        of_server.cloned().collect::<Vec<_>>()
    };
    wait("the server's end dies", || !deaths(from).is_empty());
    // Each scrape is of a later reading: by now everything has been reported.
    let after = Scrape::of(&agent);
    let of_first = deaths(from);
    let [death] = of_first.as_slice() else {
        panic!("one death for one connection: {of_first:?}");
    };
    for (key, expected) in [
        ("cause", "reset_sent"),
        ("path", "closed_while_peer_sent"),
        ("reason", "tcp_abort_on_data"),
        ("state", "fin_wait1"),
    ] {
        assert_eq!(death[key], expected, "{death}");
    }
    let idle = death["idle_before_close_ms"].as_u64().unwrap();
    let [least, most] = [IDLE, idle_at_most].map(|idle| u64::try_from(idle.as_millis()).unwrap());
    // The kernel keeps the times of a socket in jiffies.
    assert!((least - 20..=most + 20).contains(&idle), "{death}");

    let grew = |name: &str, label: (&str, &str)| {
        let labels = match name {
            "halfopen_deaths_by_path_total" => vec![label],
            _ => vec![("port", "7792"), label],
        };
        after.sum(name, &labels) - before.sum(name, &labels)
    };
    let bucket = |bound| grew("halfopen_idle_before_close_seconds_bucket", ("le", bound));
    assert_eq!([bucket("4"), bucket("12"), bucket("+Inf")], [0, 1, 1]);
    let path = ("path", "closed_while_peer_sent");
    assert_eq!(grew("halfopen_deaths_by_path_total", path), 1);

    pair.restore_client().unwrap();
    let client = pair.client.run(move || TcpStream::connect(to).unwrap());
    let mut client = client.unwrap();
    let (server, from) = listener.accept().unwrap();
    server.shutdown(Shutdown::Both).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(b"close_notify").unwrap();
    wait("the informed client's connection dies", || {
        !deaths(from).is_empty()
    });
    let deaths = deaths(from);
    assert_eq!(deaths[0]["path"], "closed_while_peer_sent");
    assert_eq!(deaths[0]["state"], "fin_wait2", "{deaths:?}");
    let histogram = "halfopen_idle_before_close_seconds_count";
    let counted = |scrape: &Scrape| scrape.sum(histogram, &[("port", "7792")]);
    assert_eq!(counted(&Scrape::of(&agent)), counted(&before) + 1);
}
