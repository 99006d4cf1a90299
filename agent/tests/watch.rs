//! `halfopen watch` on real connections, held against what the test did and what `ss` shows.
//! It must never take an expectation from the program's own output.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/agent.rs"]
mod agent;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, fchown},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use agent::{Agent, halfopen};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{SockRef, TcpKeepalive};

/// A uid no test runs as.
const UID: u32 = 12_345;

/// Events come within this time, unless the machine stands still.
const SOON: Duration = Duration::from_secs(30);

/// A running `halfopen watch --json`; killed when dropped.
struct Watch {
    child: Child,
    lines: Receiver<Value>,
}

impl Watch {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Self::spawn(arguments);
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines() {
                let line = serde_json::from_str(&line.unwrap()).unwrap();
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn spawn(arguments: &[&str]) -> Child {
        halfopen(&[&["watch", "--json"], arguments].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until connections to this listener are seen.
    fn began(&self, listener: &TcpListener) {
        let port = listener.local_addr().unwrap().port();
        let deadline = Instant::now() + SOON;
        loop {
            reset(listener);
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(300)) {
                if line["remote"]["port"] == port {
                    // What else is on its way.
                    thread::sleep(Duration::from_millis(500));
                    while self.lines.try_recv().is_ok() {}
                    return;
                }
            }
            assert!(Instant::now() < deadline, "nothing is shown");
        }
    }

    /// The events of one end of a connection, until one of this kind has come.
    fn until(&self, what: &str, ends: (SocketAddr, SocketAddr), seen: &mut Vec<Value>) -> Value {
        let is_it = |line: &Value| line["what"] == what && is_of(line, ends);
        if let Some(line) = seen.iter().find(|line| is_it(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no {what} of {ends:?}: {seen:#?}"));
            seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    fn end(&mut self) -> ExitStatus {
        end(&mut self.child)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends promptly when told to.
fn end(child: &mut Child) -> ExitStatus {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_of(line: &Value, (local, remote): (SocketAddr, SocketAddr)) -> bool {
    [("local", local), ("remote", remote)]
        .iter()
        .all(|(key, end)| {
            line[key]["port"] == end.port()
                && line[key]["address"].as_str() == Some(&end.ip().to_string())
        })
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Closes with linger 0: a reset.
fn abort(client: TcpStream) {
    let linger = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    linger.unwrap();
    drop(client);
}

fn reset(listener: &TcpListener) {
    let (client, server) = connect(listener);
    abort(client);
    drop(server);
}

fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}

/// What `ss` shows of one end: bytes to be read, bytes not acknowledged, its cookie.
fn ss((local, remote): (SocketAddr, SocketAddr)) -> (u64, u64, u64) {
    let filter = format!("sport = :{} and dport = :{}", local.port(), remote.port());
    let output = Command::new("ss")
        .args(["-tneH", &filter])
        .output()
        .unwrap();
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
    let deadline = Instant::now() + SOON;
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
fn a_reset_is_shown_on_both_sides(watch: &Watch) {
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
    thread::sleep(Duration::from_millis(500));
    seen.extend(watch.lines.try_iter());
    let of_it = |line: &&Value| is_of(line, ours) || is_of(line, theirs);
    let deaths = seen.iter().filter(of_it);
    let deaths = deaths.filter(|line| line["what"] == "death");
    assert_eq!(deaths.count(), 2, "{seen:#?}");
    drop(server);
}

#[test]
#[ignore = "needs root"]
fn a_reset() {
    let mut watch = Watch::start(&[]);
    watch.began(&listen());
    a_reset_is_shown_on_both_sides(&watch);
    assert_eq!(watch.end().code(), Some(0));
}

/// Probes each second, answered by this very kernel.
fn probes_are_shown(watch: &Watch) {
    let listener = listen();
    let (client, _server) = connect(&listener);
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second);
    SockRef::from(&client)
        .set_tcp_keepalive(&keepalive.with_retries(7))
        .unwrap();
    let mut seen = Vec::new();
    let ends = ends(&client);
    let began = Instant::now();
    for _ in 0..2 {
        let probe = watch.until("probe", ends, &mut seen);
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
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
#[ignore = "needs root"]
fn keepalive_probes_and_their_answers() {
    let watch = Watch::start(&[]);
    watch.began(&listen());
    probes_are_shown(&watch);
}

#[test]
#[ignore = "needs root"]
fn deaths_alone_of_the_connections_meant() {
    let (meant, other) = (listen(), listen());
    let port = meant.local_addr().unwrap().port();
    let watch = Watch::start(&["--deaths", "dport", "=", &format!(":{port}")]);
    watch.began(&meant);
    reset(&other);
    let (client, server) = connect(&meant);
    let ours = ends(&client);
    abort(client);
    let mut seen = Vec::new();
    watch.until("death", ours, &mut seen);
    thread::sleep(Duration::from_millis(700));
    seen.extend(watch.lines.try_iter());
    // The accepting side has that port too, but not as that of its peer.
    assert_eq!(seen.len(), 1, "{seen:#?}");
    drop(server);
}

#[test]
#[ignore = "needs root"]
fn by_way_of_an_agent() {
    let mut agent = Agent::start(&[]);
    let from = format!("http://{}", agent.address);
    let early = listen();
    let (client, server) = connect(&early);
    let (ours, theirs) = (ends(&client), ends(&server));
    abort(client);
    drop(server);
    let watch = Watch::start(&["--from", &from, "--since-start"]);
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
    let meant = Watch::start(&["--from", &from, "--since-start", "--deaths", &filter]);
    let mut seen = Vec::new();
    meant.until("death", ours, &mut seen);
    let (client, server) = connect(&early);
    let again = ends(&client);
    abort(client);
    drop(server);
    meant.until("death", again, &mut seen);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[0]["number"].as_u64() < seen[1]["number"].as_u64());
    // Streams do not hold up its end.
    let began = Instant::now();
    assert_eq!(agent.end("-TERM").code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

/// Connections that each thread lets die.
const EACH: u64 = 20_000;
const THREADS: u64 = 2;
/// A reset sent, one received, and two deaths.
const EVENTS: u64 = 4 * EACH * THREADS;

/// Resets as fast as they can be made; the ports of the listeners, and how long it took.
fn flood() -> (Vec<u16>, Duration) {
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            thread::spawn(|| {
                let listener = listen();
                (0..EACH).for_each(|_| reset(&listener));
                listener.local_addr().unwrap().port()
            })
        })
        .collect();
    let ports = threads.into_iter().map(|it| it.join().unwrap()).collect();
    (ports, began.elapsed())
}

/// All that the hooks have counted for every event that is told, whose ever it was.
fn counted(metrics: &str) -> u64 {
    const TOLD: [&str; 9] = [
        "keepalive_probes",
        "keepalive_probes_answered",
        "window_probes",
        "window_probes_answered",
        "retransmission_timeouts",
        "resets_received",
        "resets_sent",
        "recoveries",
        "deaths",
    ];
    let is_told = |line: &&str| {
        TOLD.iter()
            .any(|name| line.starts_with(&format!("halfopen_{name}_total{{")))
    };
    metrics.lines().filter(is_told).map(value).sum()
}

fn value(line: &str) -> u64 {
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// A flood before the eyes of one who stops reading for seconds and then reads slowly.
fn a_flood_is_accounted_for(agent: &mut Agent, arguments: &[&str]) {
    let before = counted(&agent.get("/metrics"));
    let mut child = Watch::spawn(arguments);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let beacon = listen();
    let seen = format!("\"port\":{}", beacon.local_addr().unwrap().port());
    let mut line = String::new();
    let (mut all, mut dropped) = (0, 0);
    let mut next = |line: &mut String| {
        line.clear();
        assert_ne!(out.read_line(line).unwrap(), 0, "it ended");
        match line.contains("\"what\":\"dropped\"") {
            true => {
                let line: Value = serde_json::from_str(line).unwrap();
                dropped += line["events"].as_u64().unwrap();
            }
            false => all += 1,
        }
        (all, dropped)
    };
    thread::scope(|scope| {
        // Until it is seen: the hooks take their time.
        let (stop, stopped) = mpsc::channel::<()>();
        let beacon = &beacon;
        scope.spawn(move || {
            while stopped
                .recv_timeout(Duration::from_millis(200))
                .is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout)
            {
                reset(beacon);
            }
        });
        while !line.contains(&seen) {
            next(&mut line);
        }
        drop(stop);
    });
    let flooding = thread::spawn(flood);
    thread::sleep(Duration::from_secs(3));
    let last = listen();
    let last_port = format!("\"port\":{}}}", last.local_addr().unwrap().port());
    let finishing = thread::spawn(move || {
        let flooded = flooding.join().unwrap();
        // After the reader's next round: what the kernel had no room for has been told.
        thread::sleep(Duration::from_millis(500));
        reset(&last);
        flooded
    });
    let mut kept = Vec::new();
    loop {
        let accounts = next(&mut line);
        if line.contains("\"what\":\"reset") || line.contains("\"what\":\"death\"") {
            kept.push(ports_of(&line));
        }
        if kept.len() % 1_000 == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        if line.contains(&last_port) {
            let (ports, took) = finishing.join().unwrap();
            judge(agent, before, &ports, took, &kept, accounts);
            break;
        }
    }
    // Its reader reads no more: it ends all the same.
    drop(thread::spawn(flood).join());
    assert_eq!(end(&mut child).code(), Some(0));
}

/// Both ports of a line.
fn ports_of(line: &str) -> [u16; 2] {
    let mut ports = line.split("\"port\":").skip(1).map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    });
    [ports.next().unwrap(), ports.next().unwrap()]
}

fn judge(
    agent: &Agent,
    before: u64,
    ports: &[u16],
    took: Duration,
    kept: &[[u16; 2]],
    (all, dropped): (u64, u64),
) {
    let is_ours = |line: &&[u16; 2]| line.iter().any(|port| ports.contains(port));
    let shown = kept.iter().filter(is_ours).count() as u64;
    println!("{EVENTS} events in {took:?}: {shown} shown, {dropped} dropped, {all} in all");
    assert!(shown > 0 && shown <= EVENTS, "{shown} shown");
    assert!(dropped > 0, "a flood above what a blocked reader takes");
    // Others' events may be among those that were dropped, and are counted by the hooks.
    assert!(shown + dropped >= EVENTS, "{shown} + {dropped} < {EVENTS}");
    let metrics = agent.get("/metrics");
    let happened = counted(&metrics) - before;
    assert!(
        all + dropped <= happened,
        "{all} + {dropped} of {happened} that happened"
    );
    // Counts stay exact, whatever was dropped.
    for port in ports {
        for (cause, direction) in [("reset_sent", "outbound"), ("reset_received", "inbound")] {
            let labels = format!(
                "halfopen_deaths_total{{owner=\"\",direction=\"{direction}\",port=\"{port}\",cause=\"{cause}\"}} "
            );
            let line = metrics.lines().find(|line| line.starts_with(&labels));
            assert_eq!(line.map(value), Some(EACH), "{labels}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_flood_seen_by_hooks_of_its_own() {
    let mut agent = Agent::start(&[]);
    a_flood_is_accounted_for(&mut agent, &[]);
}

#[test]
#[ignore = "needs root"]
fn a_flood_seen_by_way_of_an_agent() {
    let mut agent = Agent::start(&[]);
    let from = format!("http://{}", agent.address);
    a_flood_is_accounted_for(&mut agent, &["--from", &from]);
    assert_eq!(agent.end("-TERM").code(), Some(0));
}
