//! `/api/v1/deaths` and `/api/v1/events`, with events made by hand.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{
    fixtures::{
        alone::is_alone,
        events, has_cgroups,
        server::{Fake, TestServer, no_limits, wait},
        stream::Events,
    },
    support::http::{body, status},
};
use halfopen::serve::{Feed, ServerLimits};
use halfopen_common::Ending;
use halfopen_core::model::event::{Event, Listener, Missed};
use serde_json::Value;

/// Tests that fill memory, one at a time.
static HEAVY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> (TestServer, halfopen::serve::Sampler) {
    TestServer::start(ServerLimits::default(), Fake::default())
}

/// A death of a connection to this port.
fn death(port: u16) -> Event {
    let mut event = events::death_by(Ending::Keepalive);
    event.connection.remote.set_port(port);
    event
}

fn probe(port: u16) -> Event {
    let mut event = events::kinds().remove(0);
    event.connection.remote.set_port(port);
    event
}

fn deaths(server: &TestServer, query: &str) -> Value {
    let answer = server.get(&format!("/api/v1/deaths{query}"));
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"));
    serde_json::from_str(body(&answer)).unwrap()
}

fn numbers(report: &Value) -> Vec<u64> {
    let deaths = report["deaths"].as_array().unwrap().iter();
    deaths.map(|it| it["number"].as_u64().unwrap()).collect()
}

#[test]
fn certificates_are_listed_newest_first() {
    let (server, _sampler) = start();
    let nothing = deaths(&server, "");
    assert_eq!(nothing["format"], "halfopen.deaths");
    assert_eq!(nothing["format_version"], 1);
    assert_eq!(nothing["deaths"], Value::Array(Vec::new()));
    assert_eq!(
        ["arrived", "lost", "shown", "beyond_limit"].map(|key| nothing[key].as_u64()),
        [Some(0); 4]
    );
    for number in 1..=13 {
        server.feed.hear(death(5000 + number % 2));
        server.feed.hear(probe(5000));
    }
    server.feed.missed(Missed {
        events: 9,
        deaths: 2,
    });
    let all = deaths(&server, "");
    assert_eq!(numbers(&all), [13, 12, 11, 10, 9, 8, 7, 6, 5, 4]);
    assert_eq!(all["arrived"], 13);
    assert_eq!(all["lost"], 2);
    assert_eq!(all["kept_at_most"], 10);
    let by_cause = serde_json::json!({ "keepalive": { "kept": 10, "dropped": 3 } });
    assert_eq!(all["by_cause"], by_cause);
    let two = deaths(&server, "?limit=2&since=8&filter=dport+%3D+:5001");
    assert_eq!(numbers(&two), [13, 11]);
    assert_eq!(
        (&two["shown"], &two["beyond_limit"]),
        (&2.into(), &1.into())
    );
    assert_eq!(two["deaths"][0]["remote"]["port"], 5001);
    assert_eq!(two["deaths"][0]["cause"], "keepalive");
    assert_eq!(numbers(&deaths(&server, "?since=13")), [0; 0]);
    server.stop();
}

#[test]
fn wrong_questions_are_told_what_is_wrong() {
    let (server, _sampler) = start();
    for (path, said) in [
        ("deaths?limit=0", "limit is a number from 1 to"),
        ("deaths?limit=x", "limit is a number from 1 to"),
        ("deaths?since=-1", "since is the number of a certificate"),
        ("deaths?filter=state+nonsense", "nonsense"),
        ("deaths?cause=keepalive", "limit, since and filter"),
        ("events?deaths=perhaps", "deaths is true or false"),
        ("events?since=now", "since is the number of a certificate"),
        ("events?filter=dport", "a port is a number"),
        ("events?limit=1", "deaths, since and filter"),
    ] {
        for method in ["GET", "HEAD"] {
            let wrong = server.request(method, &format!("/api/v1/{path}"));
            assert_eq!(status(&wrong), 400, "{method} {path}: {wrong}");
            assert!(
                method == "HEAD" || body(&wrong).contains(said),
                "{path}: {wrong}"
            );
        }
    }
    for path in ["/api/v1/deaths", "/api/v1/events"] {
        assert_eq!(status(&server.request("POST", path)), 405, "{path}");
        assert_eq!(status(&server.get(&format!("{path}/"))), 404);
    }
    server.stop();
}

#[test]
fn a_cgroup_that_is_not_there_is_named() {
    if !has_cgroups() {
        return;
    }
    let (server, _sampler) = start();
    for method in ["GET", "HEAD"] {
        let wrong = server.request(method, "/api/v1/deaths?filter=cgroup+/no/such/group");
        assert_eq!(status(&wrong), 400, "{method}: {wrong}");
        assert!(
            method == "HEAD" || body(&wrong).contains("/no/such/group"),
            "{wrong}"
        );
    }
    server.stop();
}

#[test]
fn head_answers_as_get_does_without_its_body() {
    let (server, _sampler) = start();
    server.feed.hear(death(1));
    let head = server.request("HEAD", "/api/v1/deaths");
    assert_eq!((status(&head), body(&head)), (200, ""), "{head}");
    let head = server.request("HEAD", "/api/v1/events?since=0");
    assert_eq!((status(&head), body(&head)), (200, ""), "{head}");
    assert!(head.contains("content-type: text/event-stream\r\n"));
    wait("a place is held for nobody", || !server.feed.is_watched());
    server.stop();
}

#[test]
fn only_this_machine_is_answered() {
    let (server, _sampler) = start();
    for path in ["deaths", "events"] {
        let request = format!("GET /api/v1/{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let answer = server.send(format!("{request}GET / HTTP/1.0\r\n\r\n").as_bytes());
        assert_eq!(status(&answer), 403, "{answer}");
    }
    server.stop();
}

#[test]
fn a_stream_begins_at_once_and_goes_on() {
    let (server, _sampler) = start();
    let mut all = Events::open(server.address, "", "");
    assert!(all.head.contains("content-type: text/event-stream\r\n"));
    assert!(all.head.contains("cache-control: no-store\r\n"));
    assert_eq!(all.next().unwrap().comment.as_deref(), Some("alive"));
    let mut deaths_alone = Events::open(server.address, "deaths", "");
    assert_eq!(
        deaths_alone.next().unwrap().comment.as_deref(),
        Some("alive")
    );
    server.feed.hear(probe(1));
    server.feed.hear(death(2));
    let first = all.next_event().unwrap();
    assert_eq!((first.event.as_deref(), first.id), (Some("probe"), None));
    assert_eq!(first.data.unwrap()["what"], "probe");
    for stream in [&mut all, &mut deaths_alone] {
        let second = stream.next_event().unwrap();
        assert_eq!(
            (second.event.as_deref(), second.id),
            (Some("death"), Some(1))
        );
        let data = second.data.unwrap();
        assert_eq!(
            (&data["number"], &data["remote"]["port"]),
            (&1.into(), &2.into())
        );
    }
    server.stop();
}

#[test]
fn kept_deaths_come_once_and_then_the_stream_goes_on() {
    let (server, _sampler) = start();
    for port in 1..=12 {
        server.feed.hear(death(port));
    }
    let ids = |mut stream: Events, to: u64| -> Vec<u64> {
        let frames = std::iter::from_fn(|| stream.next_event());
        let mut ids = Vec::new();
        for frame in frames {
            ids.push(frame.id.unwrap_or_else(|| frame.dropped().unwrap() + 1_000));
            if frame.id == Some(to) {
                break;
            }
        }
        ids
    };
    let open = |query: &str, more: &str| Events::open(server.address, query, more);
    let streams = [
        (open("since=0", ""), (3..=13).collect()),
        (open("deaths&since=10", ""), vec![11, 12, 13]),
        (open("deaths", ""), vec![13]),
        // A client that comes again, whatever it asked for at first.
        (open("since=0", "Last-Event-ID: 12\r\n"), vec![13]),
        (open("", "Last-Event-ID: 11\r\n"), vec![12, 13]),
        // Two of those it missed are no longer kept: it is told so.
        (open("", "Last-Event-ID: 0000\r\n"), (3..=13).collect()),
        (
            open("deaths", "Last-Event-ID: 1\r\n"),
            [1_001].into_iter().chain(3..=13).collect(),
        ),
        // A number of an agent before this one.
        (open("", "Last-Event-ID: 99\r\n"), (3..=13).collect()),
        (open("", "Last-Event-ID: nonsense\r\n"), vec![13]),
        (open("since=0&filter=dport+%3E+:11", ""), vec![12, 13]),
    ];
    // All have begun once their first frame is there: 13 must reach each of them.
    let streams: Vec<_> = streams
        .into_iter()
        .map(|(mut stream, expected)| {
            let first = stream.next().unwrap();
            (stream, first, expected)
        })
        .collect();
    server.feed.hear(death(13));
    for (stream, first, expected) in streams {
        let mut all: Vec<u64> = Vec::new();
        if first.comment.is_none() {
            all.push(first.id.unwrap_or_else(|| first.dropped().unwrap() + 1_000));
        }
        all.extend(ids(stream, 13));
        assert_eq!(all, expected);
    }
    server.stop();
}

#[test]
fn a_slow_reader_is_told_how_many_it_missed() {
    const SENT: u64 = 200_000;
    // It measures the memory of its process.
    if !is_alone() {
        return;
    }
    let (server, _sampler) = TestServer::start(no_limits(), Fake::default());
    let mut slow = Events::open(server.address, "", "");
    let mut deaths_alone = Events::open(server.address, "deaths", "");
    assert!(slow.next().is_some() && deaths_alone.next().is_some());
    let (a_death, a_probe) = (death(1), probe(1));
    let before = resident();
    // Nobody reads until all of it is fed: a feed that waited for a reader would not end.
    for number in 0..SENT {
        if number % 1_000 == 0 {
            server.feed.hear(a_death.clone());
            server.feed.missed(Missed {
                events: 3,
                deaths: 1,
            });
        } else {
            server.feed.hear(a_probe.clone());
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 96 << 20, "{} MiB more", grown >> 20);
    server.feed.hear(death(9_999));
    let account = |stream: &mut Events| {
        let (mut shown, mut dropped) = (0, 0);
        loop {
            let frame = stream.next_event().unwrap();
            match frame.dropped() {
                Some(events) => dropped += events,
                None => shown += 1,
            }
            if frame.id == Some(SENT / 1_000 + 1) {
                return (shown, dropped);
            }
        }
    };
    let (shown, dropped) = account(&mut slow);
    assert!(shown > 1_000 && dropped > 1_000, "{shown} {dropped}");
    assert_eq!(shown + dropped, SENT + 3 * SENT / 1_000 + 1);
    let few = SENT / 1_000;
    assert_eq!(account(&mut deaths_alone), (few + 1, few));
    // It keeps up again.
    server.feed.hear(probe(7));
    let next = slow.next_event().unwrap();
    assert_eq!(next.data.unwrap()["remote"]["port"], 7);
    server.stop();
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

#[test]
fn streams_are_limited_and_a_client_that_goes_frees_its_place() {
    let _alone = alone();
    let (server, _sampler) = start();
    let mut open: Vec<Events> = (0..64)
        .map(|_| Events::open(server.address, "", ""))
        .collect();
    assert!(open.iter().all(|stream| status(&stream.head) == 200));
    let refused = server.get("/api/v1/events");
    assert_eq!(status(&refused), 503, "{refused}");
    assert!(body(&refused).contains("64 streams"), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    // Lists and metrics are no streams.
    assert_eq!(status(&server.get("/api/v1/deaths")), 200);
    assert_eq!(status(&server.get("/metrics")), 200);
    assert!(server.feed.is_watched());
    open.pop();
    wait("the place stays taken", || {
        let again = Events::open(server.address, "", "");
        let is_there = status(&again.head) == 200;
        if is_there {
            open.push(again);
        }
        is_there
    });
    drop(open);
    wait("nobody watches any more", || !server.feed.is_watched());
    server.stop();
}

#[test]
fn streams_end_promptly_when_the_server_stops() {
    let _alone = alone();
    let (server, _sampler) = TestServer::start(no_limits(), Fake::default());
    let mut reading = Events::open(server.address, "", "");
    // One that has taken nothing of what is on its way to it.
    let stalled = Events::open(server.address, "since=0", "");
    let a_probe = probe(1);
    for _ in 0..50_000 {
        server.feed.hear(a_probe.clone());
    }
    server.feed.hear(probe(7));
    let has_read_all = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(frame) = reading.next() {
                let is_last = frame.data.is_some_and(|data| data["remote"]["port"] == 7);
                has_read_all.fetch_or(is_last, Ordering::SeqCst);
            }
        });
        wait("the last is not read", || {
            has_read_all.load(Ordering::SeqCst)
        });
        server.stop();
        // The reader ends, in good order.
    });
    drop(stalled);
}

#[test]
fn idle_streams_end_in_good_order() {
    let (server, _sampler) = TestServer::start(no_limits(), Fake::default());
    let mut stream = Events::open(server.address, "", "");
    assert!(stream.next().is_some());
    server.stop();
    assert_eq!(stream.next(), None);
}

#[test]
fn the_feed_waits_for_nobody() {
    let _alone = alone();
    let feed = Feed::new(1_000);
    // None of them takes anything.
    let watchers: Vec<_> = (0..64).map(|_| feed.watch(true, None)).collect();
    let a_probe = probe(1);
    for _ in 0..50_000 {
        feed.hear(a_probe.clone());
    }
    drop(watchers);
    assert!(!feed.is_watched());
}
