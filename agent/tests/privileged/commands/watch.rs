//! `halfopen watch` on real connections, checked against what the test did and what `ss` shows.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, fchown},
    },
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::{
    LIMIT,
    agent::AgentProcess,
    watch::{JsonWatch, abort, connect, ends, is_of, listen, reset},
};
use halfopen_lab::{
    observe::{
        agent_client::{AgentClient, AgentThresholds},
        http::Origin,
    },
    scenario::perform::{ScenarioPart, perform},
};
use serde_json::Value;
use socket2::{SockRef, TcpKeepalive};

/// A uid no test runs as.
const UID: u32 = 12_345;

/// What `ss` shows of one end: bytes to be read, bytes not acknowledged, its cookie.
fn ss((local, remote): (SocketAddr, SocketAddr)) -> (u64, u64, u64) {
    let filter = format!("sport = :{} and dport = :{}", local.port(), remote.port());
    let output = Command::new("ss")
        .args(["-tneH", &filter])
        .output()
        .expect("ss of iproute2");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words[0], "ESTAB", "{text}");
    let cookie = words.iter().find_map(|word| word.strip_prefix("sk:"));
    (
        words[1].parse().unwrap(),
        words[2].parse().unwrap(),
        u64::from_str_radix(cookie.unwrap(), 16).unwrap(),
    )
}

fn netns() -> u64 {
    fs::metadata("/proc/self/ns/net").unwrap().ino()
}

/// A connection whose server does not read: both sides hold bytes.
fn stuffed(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (mut client, server) = connect(listener);
    fchown(client.as_fd(), Some(UID), None).unwrap();
    client.set_nonblocking(true).unwrap();
    while client.write(&[0; 16 * 1024]).is_ok() {}
    (client, server)
}

/// What both ends hold once nothing moves any more.
fn settled(client: (SocketAddr, SocketAddr)) -> [(u64, u64, u64); 2] {
    let read = || [ss(client), ss((client.1, client.0))];
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = read();
        thread::sleep(Duration::from_millis(300));
        if read() == before {
            return before;
        }
        assert!(Instant::now() < deadline, "it does not settle: {before:?}");
    }
}

/// Lets one connection die of a reset, and says what the events must be.
fn a_reset_is_shown_on_both_sides(watch: &JsonWatch) {
    let listener = listen();
    let before = Instant::now();
    let (client, server) = stuffed(&listener);
    let connected = Instant::now();
    let (ours, theirs) = (ends(&client), ends(&server));
    let [sending, receiving] = settled(ours);
    assert!(
        sending.1 > 0 && receiving.0 > 0,
        "{sending:?} {receiving:?}"
    );
    let least = connected.elapsed();
    abort(client);
    let most = before.elapsed();
    let mut seen = Vec::new();
    for (what, ends, held, uid) in [
        ("reset_sent", ours, sending, Some(UID)),
        ("death", ours, sending, Some(UID)),
        ("reset_received", theirs, receiving, None),
        ("death", theirs, receiving, None),
    ] {
        let line = watch.until(what, ends, &mut seen);
        assert_eq!(line["netns"], netns(), "{line:#}");
        assert_eq!(line["state"], "established", "{line:#}");
        assert_eq!(
            line["direction"],
            if ends == ours { "outbound" } else { "inbound" }
        );
        assert_eq!(line["unread_bytes"], held.0, "{line:#}");
        assert_eq!(line["unacknowledged_bytes"], held.1, "{line:#}");
        assert_eq!(line["cookie"], held.2, "{line:#}");
        if let Some(uid) = uid {
            assert_eq!(line["uid"], uid, "{line:#}");
        }
        let age = Duration::from_millis(line["age_ms"].as_u64().unwrap());
        let slack = Duration::from_millis(20);
        assert!(
            age + slack >= least && age <= most + slack,
            "{least:?} {age:?} {most:?}"
        );
        if what == "death" {
            let cause = if ends == ours {
                "reset_sent"
            } else {
                "reset_received"
            };
            assert_eq!(line["cause"], cause, "{line:#}");
        }
        assert_eq!(line["keepalive"]["setting"], "off", "{line:#}");
    }
    // Each once.
    seen.extend(watch.drained(&listener));
    let of_it = |line: &&Value| is_of(line, ours) || is_of(line, theirs);
    let deaths = seen.iter().filter(of_it);
    let deaths = deaths.filter(|line| line["what"] == "death");
    assert_eq!(deaths.count(), 2, "{seen:#?}");
    drop(server);
}

#[test]
#[ignore = "needs root"]
fn a_reset() {
    let mut watch = JsonWatch::start(&[]);
    watch.began(&listen());
    a_reset_is_shown_on_both_sides(&watch);
    assert_eq!(watch.end().code(), Some(0));
}

/// Probes each second, answered by this very kernel.
fn probes_are_shown(watch: &JsonWatch) {
    let listener = listen();
    let (client, _server) = connect(&listener);
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second);
    SockRef::from(&client)
        .set_tcp_keepalive(&keepalive.with_retries(7))
        .unwrap();
    let mut seen = Vec::new();
    let ends = ends(&client);
    for number in 1..=2 {
        let probe = watch.until("probe", ends, &mut seen);
        // Each as it is sent, and none is left out.
        assert_eq!(probe["keepalive_probes"], number, "{probe:#}");
        assert_eq!(probe["evidence"], "keepalive", "{probe:#}");
        assert_eq!(probe["netns"], netns());
        assert_eq!(probe["keepalive"]["setting"], "custom");
        assert_eq!(probe["keepalive"]["idle_ms"], 1000);
        assert_eq!(probe["keepalive"]["interval_ms"], 1000);
        assert_eq!(probe["keepalive"]["probes"], 7);
        let answer = watch.until("answer", ends, &mut seen);
        assert_eq!(answer["evidence"], "keepalive", "{answer:#}");
        assert!(answer["silence_ms"].as_u64() < Some(2_000), "{answer:#}");
        seen.clear();
    }
}

#[test]
#[ignore = "needs root"]
fn keepalive_probes_and_their_answers() {
    let watch = JsonWatch::start(&[]);
    watch.began(&listen());
    probes_are_shown(&watch);
}

#[test]
#[ignore = "needs root"]
fn deaths_alone_of_the_connections_meant() {
    let (meant, other) = (listen(), listen());
    let port = meant.local_addr().unwrap().port();
    let watch = JsonWatch::start(&["--deaths", "dport", "=", &format!(":{port}")]);
    watch.began(&meant);
    reset(&other);
    let (client, server) = connect(&meant);
    let ours = ends(&client);
    abort(client);
    let mut seen = Vec::new();
    watch.until("death", ours, &mut seen);
    seen.extend(watch.drained(&meant));
    // The accepting side has that port too, but not as that of its peer.
    assert_eq!(seen.len(), 2, "{seen:#?}");
    drop(server);
}

#[test]
#[ignore = "needs root"]
fn by_way_of_an_agent() {
    let mut agent = AgentProcess::start(&[]);
    let from = format!("http://{}", agent.address);
    let early = listen();
    let (client, server) = connect(&early);
    let (ours, theirs) = (ends(&client), ends(&server));
    abort(client);
    drop(server);
    let watch = JsonWatch::start(&["--from", &from, "--since-start"]);
    let mut seen = Vec::new();
    for ends in [ours, theirs] {
        let death = watch.until("death", ends, &mut seen);
        assert!(death["number"].as_u64() >= Some(1), "{death:#}");
    }
    // Of what came before, deaths alone are kept.
    assert!(
        seen.iter()
            .all(|line| line["what"] == "death" || !is_of(line, ours))
    );
    watch.began(&listen());
    a_reset_is_shown_on_both_sides(&watch);
    probes_are_shown(&watch);
    let port = early.local_addr().unwrap().port();
    let filter = format!("dport = :{port}");
    let meant = JsonWatch::start(&["--from", &from, "--since-start", "--deaths", &filter]);
    let mut seen = Vec::new();
    meant.until("death", ours, &mut seen);
    let (client, server) = connect(&early);
    let again = ends(&client);
    abort(client);
    drop(server);
    meant.until("death", again, &mut seen);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[0]["number"].as_u64() < seen[1]["number"].as_u64());
    // Streams do not hold up its end: none has to be cut.
    assert_eq!(agent.end("-TERM").code(), Some(0));
    let log = agent.rest_of_log();
    assert!(!log.contains("connections were cut"), "{log}");
}

/// Scenario 55: a window closes on data in flight, its peer is silent until it is a suspect, and is heard again.
#[test]
#[ignore = "needs root"]
fn a_peer_that_is_heard_again_behind_a_closed_window() {
    let agent = AgentProcess::start(&[]);
    let from = format!("http://{}", agent.address);
    let watch = JsonWatch::start(&["--from", &from]);
    watch.began(&listen());
    let origin = Origin::parse(&from).unwrap();
    let client = Arc::new(AgentClient::new(origin, AgentThresholds::Theirs));
    let runs = perform(
        &ScenarioPart::with_numbers(&[55]),
        Duration::ZERO,
        Some(&client),
    );
    let reopened = runs.iter().filter(|run| run.scenario.label() == "55");
    let mut seen = Vec::new();
    for run in reopened {
        assert!(run.outcome.is_ok(), "{run:?}");
        let family = run.form.family;
        let ends = (
            SocketAddr::new(family.client(), run.port + 20_000),
            SocketAddr::new(family.server(), run.port),
        );
        let netns = run.hosts().next().unwrap().inum().unwrap();
        // Nothing happens on it any more: the next look at all sockets finds that its peer was heard.
        client.connections(netns).unwrap();
        let event = watch.until("recovery", ends, &mut seen);
        assert_eq!(event["evidence"], "window_probe", "{event:#}");
        assert_eq!(event["netns"], netns, "{event:#}");
        assert_eq!(event["state"], "established", "{event:#}");
        // There was no window probe: the retransmissions were the probes.
        let counted = client.metrics().unwrap().of_port("outbound", run.port);
        assert_eq!(counted["recoveries{window_probe}"], 1, "{counted:?}");
        assert_eq!(counted["window_probes"], 0, "{counted:?}");
    }
}
