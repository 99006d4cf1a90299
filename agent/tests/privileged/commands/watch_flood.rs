//! More resets than `halfopen watch` can show: every event is shown or reported as dropped.

use std::{
    io::{BufRead as _, BufReader},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::{
    LIMIT,
    agent::AgentProcess,
    watch::{JsonWatch, end, listen, reset},
};
use serde_json::Value;

/// Connections that each thread lets die.
const EACH: u64 = 20_000;
const THREADS: u64 = 2;
/// A reset sent, one received, and two deaths.
const EVENTS: u64 = 4 * EACH * THREADS;

/// Resets as fast as they can be made, and counted; the ports of the listeners, and how long it took.
fn flood(so_far: &Arc<AtomicU64>) -> (Vec<u16>, Duration) {
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let so_far = Arc::clone(so_far);
            thread::spawn(move || {
                let listener = listen();
                for _ in 0..EACH {
                    reset(&listener);
                    so_far.fetch_add(1, Ordering::Relaxed);
                }
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

/// A flood before the eyes of one who does not read until half of it is over, and then reads slowly.
fn a_flood_is_accounted_for(agent: &mut AgentProcess, arguments: &[&str]) {
    let before = counted(&agent.get("/metrics"));
    let mut child = JsonWatch::spawn(arguments);
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
    let so_far = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&so_far);
    let flooding = thread::spawn(move || flood(&counter));
    while so_far.load(Ordering::Relaxed) < EACH * THREADS / 2 {
        assert!(!flooding.is_finished(), "the flood has failed");
        thread::sleep(Duration::from_millis(10));
    }
    let last = listen();
    let last_port = format!("\"port\":{}}}", last.local_addr().unwrap().port());
    let (stop, stopped) = mpsc::channel::<()>();
    let (flooded, flood_is_over) = mpsc::channel();
    let finishing = thread::spawn(move || {
        flooded.send(flooding.join().unwrap()).unwrap();
        // Again and again: what the kernel had no room for is told a moment later.
        while stopped
            .recv_timeout(Duration::from_millis(100))
            .is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout)
        {
            reset(&last);
        }
    });
    let mut over: Option<(Vec<u16>, Duration, Instant)> = None;
    let mut kept = Vec::new();
    let accounts = loop {
        let accounts = next(&mut line);
        if line.contains("\"what\":\"reset") || line.contains("\"what\":\"death\"") {
            kept.push(ports_of(&line));
        }
        if kept.len() % 1_000 == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        if line.contains(&last_port) {
            // The flood is over: all of it is told soon, or never.
            let (ports, _, deadline) = over.get_or_insert_with(|| {
                let (ports, took) = flood_is_over.recv().unwrap();
                (ports, took, Instant::now() + LIMIT)
            });
            if shown(&kept, ports) + accounts.1 >= EVENTS || Instant::now() > *deadline {
                break accounts;
            }
        }
    };
    drop(stop);
    finishing.join().unwrap();
    let (ports, took, _) = over.unwrap();
    check_accounts(agent, before, &ports, took, &kept, accounts);
    // Its reader reads no more: it ends all the same.
    drop(flood(&so_far));
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

/// How many of these lines are of connections to these ports.
fn shown(kept: &[[u16; 2]], ports: &[u16]) -> u64 {
    let is_ours = |line: &&[u16; 2]| line.iter().any(|port| ports.contains(port));
    kept.iter().filter(is_ours).count() as u64
}

fn check_accounts(
    agent: &AgentProcess,
    before: u64,
    ports: &[u16],
    took: Duration,
    kept: &[[u16; 2]],
    (all, dropped): (u64, u64),
) {
    let shown = shown(kept, ports);
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
    let mut agent = AgentProcess::start(&[]);
    a_flood_is_accounted_for(&mut agent, &[]);
}

#[test]
#[ignore = "needs root"]
fn a_flood_seen_by_way_of_an_agent() {
    let mut agent = AgentProcess::start(&[]);
    let from = format!("http://{}", agent.address);
    a_flood_is_accounted_for(&mut agent, &["--from", &from]);
    assert_eq!(agent.end("-TERM").code(), Some(0));
}
