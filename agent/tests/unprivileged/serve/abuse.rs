//! The server and hostile, broken and too many clients.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    fixtures::server::{Fake, TestServer, no_limits, read_all, wait},
    support::http::{self, body, status},
};
use halfopen::serve::{ServerLimits, SnapshotSource};
use halfopen_core::model::snapshot::Snapshot;

fn start() -> (TestServer, halfopen::serve::Sampler) {
    TestServer::start(ServerLimits::default(), Fake::default())
}

#[test]
fn bodies_are_not_read() {
    let (server, _sampler) = start();
    let mut request =
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n".to_vec();
    request.extend(vec![b'x'; 100_000]);
    assert_eq!(status(&server.send(&request)), 405);
    let get =
        "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(status(&server.send(get.as_bytes())), 200);
    server.stop();
}

#[test]
fn garbage_gets_a_400() {
    let (server, _sampler) = start();
    let noise: Vec<u8> = (0..1024_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let garbage: [&[u8]; 8] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        &noise,
    ];
    for bytes in garbage {
        let answer = server.send(bytes);
        assert_eq!(
            status(&answer),
            400,
            "{:?}: {answer}",
            &bytes[..bytes.len().min(40)]
        );
    }
    // HTTP/2 is not spoken; its preface asks for no answer in HTTP/1.
    assert_eq!(server.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
    assert_eq!(status(&server.get("/metrics")), 200, "it goes on");
    server.stop();
}

#[test]
fn oversized_requests_get_a_4xx() {
    let (server, _sampler) = start();
    let check = |request: String, expected: &[u16]| {
        let answer = server.send(request.as_bytes());
        let code = status(&answer);
        assert!(expected.contains(&code), "{code} for {}…", &request[..40]);
    };
    let long = "x".repeat(100_000);
    check(
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: {long}\r\n\r\n"),
        &[431],
    );
    check(
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        &[414, 431],
    );
    let many = "a: b\r\n".repeat(500);
    check(
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        &[431],
    );
    assert_eq!(status(&server.get("/metrics")), 200, "it goes on");
    server.stop();
}

#[test]
fn slow_requests_are_closed_and_harm_nobody() {
    let limits = ServerLimits {
        header_time: Duration::from_millis(500),
        ..no_limits()
    };
    let (server, _sampler) = TestServer::start(limits, Fake::default());
    let mut slow: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTT").unwrap();
    }
    assert_eq!(status(&server.get("/metrics")), 200);
    // One drips: each byte must not buy it more time.
    let mut drip = server.connect();
    drip.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    wait("a dripping client is endured for ever", || {
        drip.write_all(b"x").is_err()
    });
    for stream in slow {
        read_all(stream);
    }
    server.stop();
}

#[test]
fn connections_are_limited() {
    let limits = ServerLimits {
        connections: 8,
        ..ServerLimits::default()
    };
    let (server, _sampler) = TestServer::start(limits, Fake::default());
    let idle: Vec<_> = (0..8).map(|_| server.connect()).collect();
    // The server takes them one after the other; a ninth comes behind them.
    let mut ninth = server.connect();
    let mut answer = String::new();
    ninth.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    drop(idle);
    wait("slots do not come free", || {
        status(&server.get("/metrics")) == 200
    });
    server.stop();
}

/// Each snapshot lasts until the server has as many scrapes as it takes: however slow the machine is, those
/// who scrape wait together.
struct Together {
    fake: Fake,
    server: Arc<OnceLock<SocketAddr>>,
    /// Whether one of them has had all its answers.
    is_ending: Arc<AtomicBool>,
}

impl Together {
    /// Whether the server would refuse one more; else this one waits for a moment, in vain.
    fn is_full(&self) -> bool {
        let Some(server) = self.server.get() else {
            return false;
        };
        let headers = "X-Prometheus-Scrape-Timeout-Seconds: 0.02\r\n";
        let answer = http::ask(http::connect(*server), "GET", "/metrics", headers).unwrap();
        String::from_utf8(answer)
            .unwrap()
            .contains("scrapes are waiting")
    }
}

impl SnapshotSource for Together {
    fn snapshot(&mut self) -> Snapshot {
        wait("they do not ask", || {
            self.is_ending.load(Ordering::SeqCst) || self.is_full()
        });
        self.fake.snapshot()
    }
}

#[test]
fn ten_thousand_scrapes_share_snapshots() {
    const SCRAPERS: u64 = 100;
    let (address, is_ending) = (Arc::default(), Arc::default());
    let source = Together {
        fake: Fake::default(),
        server: Arc::clone(&address),
        is_ending: Arc::clone(&is_ending),
    };
    let taken = source.fake.taken.clone();
    let (server, _sampler) = TestServer::start_allowing(SCRAPERS, no_limits(), source);
    address.set(server.address).unwrap();
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..SCRAPERS {
            scope.spawn(|| {
                let mut stream = server.connect();
                for _ in 0..100 {
                    // For a moment, the question whether all are there may have the last place.
                    let codes = std::iter::repeat_with(|| scrape(&mut stream));
                    let code = codes.into_iter().find(|code| *code != 503);
                    assert_eq!(code, Some(200));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                is_ending.store(true, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(answered.load(Ordering::SeqCst), 10_000);
    let taken = taken.load(Ordering::SeqCst);
    // Some 340 where nothing else runs. A place is also held while an answer is on its way, so that on a busy
    // machine fewer wait together: 1,009 were seen.
    assert!(taken < 2000, "10,000 scrapes took {taken} snapshots");
    assert_eq!(status(&server.get("/metrics")), 200);
    server.stop();
}

/// One scrape on a connection that stays open.
fn scrape(stream: &mut std::net::TcpStream) -> u16 {
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed in the midst of an answer");
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer);
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse::<usize>().ok());
        if length.is_some_and(|length| body(&text).len() == length) {
            return status(&text);
        }
    }
}

#[test]
fn a_crowd_is_told_to_come_back() {
    let source = Fake::default();
    source.gate.set_closed(true);
    let gate = source.gate.clone();
    let (server, _sampler) = TestServer::start_allowing(0, ServerLimits::default(), source);
    let sent_away = AtomicU64::new(0);
    let ask = || {
        let answer = server.get("/metrics");
        sent_away.fetch_add(u64::from(status(&answer) == 503), Ordering::SeqCst);
        answer
    };
    let answers: Vec<String> = thread::scope(|scope| {
        let crowd: Vec<_> = (0..400).map(|_| scope.spawn(ask)).collect();
        wait("all may wait", || sent_away.load(Ordering::SeqCst) > 0);
        gate.set_closed(false);
        crowd
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    });
    let count = |code| {
        answers
            .iter()
            .filter(|answer| status(answer) == code)
            .count()
    };
    assert_eq!(count(200) + count(503), 400);
    assert!(
        count(200) >= 256 && count(503) > 0,
        "{} served, {} sent away",
        count(200),
        count(503)
    );
    assert!(
        answers
            .iter()
            .all(|answer| status(answer) == 200 || answer.contains("retry-after: 1\r\n"))
    );
    server.stop();
}
