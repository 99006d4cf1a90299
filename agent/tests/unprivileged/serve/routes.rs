//! The server and clients that behave.

use std::{sync::atomic::Ordering, thread, time::Duration};

use crate::{
    fixtures::server::{Fake, TestServer, no_limits, read_all, wait},
    support::http::{body, status},
};
use halfopen::serve::{ServerLimits, SnapshotError};

fn start() -> (TestServer, halfopen::serve::Sampler) {
    TestServer::start(ServerLimits::default(), Fake::default())
}

#[test]
fn every_path() {
    let (server, _sampler) = start();
    let metrics = server.get("/metrics?ignored=1");
    assert_eq!(status(&metrics), 200, "{metrics}");
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{metrics}"
    );
    assert!(
        body(&metrics).contains("\nhalfopen_build_info{"),
        "{metrics}"
    );
    assert!(
        body(&metrics).contains("\nprocess_cpu_seconds_total "),
        "{metrics}"
    );
    assert!(body(&metrics).ends_with('\n'));
    assert_eq!(status(&server.get("/-/healthy")), 200);
    assert_eq!(status(&server.get("/-/ready")), 200);
    let index = server.get("/");
    assert!(
        index.contains("text/html") && body(&index).contains("href=\"/metrics\""),
        "{index}"
    );
    for path in [
        "/nothing",
        "/metrics/",
        "//",
        "/-/",
        "/../etc/passwd",
        "/%2e%2e/",
    ] {
        assert_eq!(status(&server.get(path)), 404, "{path}");
    }
    server.stop();
}

#[test]
fn connections_are_asked_for_in_a_language_that_answers() {
    let (server, _sampler) = start();
    // Nobody has opened the API in this server.
    let early = server.get("/api/v1/connections?all=true");
    assert_eq!(status(&early), 503, "{early}");
    assert!(body(&early).contains("not attached yet"), "{early}");
    for (query, said) in [
        ("all=perhaps", "all is true or false"),
        ("netns=x", "netns is"),
        ("filter=state+nonsense", "nonsense"),
        ("sort=age", "no parameter"),
    ] {
        let wrong = server.get(&format!("/api/v1/connections?{query}"));
        assert_eq!(status(&wrong), 400, "{wrong}");
        assert!(body(&wrong).contains(said), "{wrong}");
    }
    server.stop();
}

#[test]
fn methods() {
    let (server, _sampler) = start();
    let head = server.request("HEAD", "/metrics");
    assert_eq!((status(&head), body(&head)), (200, ""), "{head}");
    let length = server
        .get("/-/healthy")
        .lines()
        .find(|line| line.starts_with("content-length"))
        .map(str::to_owned);
    let head = server.request("HEAD", "/-/healthy");
    assert!(
        length.is_some_and(|length| head.contains(&length)),
        "{head}"
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = server.request(method, "/metrics");
        assert_eq!(status(&answer), 405, "{method}: {answer}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        assert_eq!(status(&server.request(method, "/nothing")), 404);
    }
    server.stop();
}

#[test]
fn a_snapshot_is_never_older_than_the_question() {
    let (server, _sampler) = start();
    let records = |answer: &str| -> u64 {
        let line = body(answer)
            .lines()
            .find(|line| line.starts_with("halfopen_records "))
            .unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let first = records(&server.get("/metrics"));
    let second = records(&server.get("/metrics"));
    assert!(second > first);
    server.stop();
}

#[test]
fn snapshots_are_taken_when_nobody_asks() {
    let (server, pending) = TestServer::pending(ServerLimits::default());
    let source = Fake::default();
    let taken = source.taken.clone();
    let sampler = pending
        .run(source, Duration::from_millis(20), |_| ())
        .unwrap();
    wait("no more are taken", || taken.load(Ordering::SeqCst) >= 5);
    sampler.stop().unwrap();
    server.stop();
}

#[test]
fn not_ready_before_the_source_nor_after() {
    let (server, pending) = TestServer::pending(ServerLimits::default());
    assert_eq!(status(&server.get("/-/healthy")), 200);
    for path in ["/-/ready", "/metrics"] {
        let answer = server.get(path);
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    let sampler = pending
        .run(Fake::default(), Duration::from_secs(1), |_| ())
        .unwrap();
    assert_eq!(status(&server.get("/-/ready")), 200);
    sampler.stop().unwrap();
    assert_eq!(status(&server.get("/-/ready")), 503);
    assert_eq!(status(&server.get("/metrics")), 503);
    server.stop();
}

#[test]
fn a_panic_of_the_source_is_told_and_nothing_stale_is_served() {
    let source = Fake {
        panics_at: Some(2),
        ..Fake::default()
    };
    let taken = source.taken.clone();
    let (server, mut sampler) = TestServer::start(ServerLimits::default(), source);
    // The first snapshot is the thread's own; the one asked for panics.
    wait("there is no first", || taken.load(Ordering::SeqCst) == 1);
    assert_eq!(status(&server.get("/metrics")), 503);
    assert_eq!(
        server.runtime.block_on(server.snapshots.take()).err(),
        Some(SnapshotError::Ended)
    );
    server.runtime.block_on(sampler.ended());
    let message = sampler.stop().unwrap_err();
    assert!(message.contains("the fake source fails"), "{message}");
    server.stop();
}

#[test]
fn requests_in_flight_are_finished() {
    let source = Fake::default();
    let (server, sampler) = TestServer::start(no_limits(), source.clone());
    wait("there is no first", || {
        source.taken.load(Ordering::SeqCst) == 1
    });
    let idle = server.connect();
    source.gate.set_closed(true);
    let answer = thread::scope(|scope| {
        let asked = scope.spawn(|| server.get("/metrics"));
        wait("it is not asked for", || {
            source.begun.load(Ordering::SeqCst) == 2
        });
        server.tell_to_stop();
        // It is told so: it has nothing in flight.
        assert_eq!(read_all(idle), "");
        source.gate.set_closed(false);
        asked.join().unwrap()
    });
    assert_eq!(status(&answer), 200, "{answer}");
    server.stop();
    sampler.stop().unwrap();
}
