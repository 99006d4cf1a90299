//! Real resets, faster than any reader takes them, before the eyes of `halfopen watch`.
//! It must never ask for speed: only that every event is shown or told as dropped.

use std::{
    io::{BufRead as _, BufReader},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::{
    agent::Agent,
    watch::{Watch, end, listen, reset},
};
use serde_json::Value;

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
            // Whose it is depends on where the test runs.
            let labels = format!(",direction=\"{direction}\",port=\"{port}\",cause=\"{cause}\"}} ");
            let is_it = |line: &&str| {
                line.starts_with("halfopen_deaths_total{owner=") && line.contains(&labels)
            };
            let line = metrics.lines().find(is_it);
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
