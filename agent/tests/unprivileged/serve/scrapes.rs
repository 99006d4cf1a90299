//! Scrapes as Prometheus makes them.

use std::{
    collections::BTreeSet, io::Read, net::TcpStream, sync::atomic::Ordering, time::Duration,
};

use crate::{
    fixtures::server::{Fake, TestServer, wait},
    support::http::{self, status},
};
use flate2::read::GzDecoder;
use halfopen::serve::{Sampler, ServerLimits};
use halfopen_core::metrics::{Format, Section, declared};

/// What Prometheus 2.42 sends.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// A source that is not done within a test.
fn never() -> Fake {
    Fake {
        delay: Duration::from_secs(600),
        ..Fake::default()
    }
}

fn start() -> (TestServer, Sampler) {
    TestServer::start(ServerLimits::default(), Fake::default())
}

/// An answer, its body as it came.
#[derive(Debug)]
struct ScrapeAnswer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl ScrapeAnswer {
    /// The value of a header, if it is there once.
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(named, _)| named.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| value);
        first.filter(|_| values.next().is_none())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding") {
            Some("gzip") => GzDecoder::new(&self.body[..])
                .read_to_string(&mut text)
                .unwrap(),
            None => (&self.body[..]).read_to_string(&mut text).unwrap(),
            other => panic!("{other:?}"),
        };
        text
    }
}

fn send(server: &TestServer, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = format!("Connection: close\r\n{}", lines.collect::<String>());
    let mut stream = server.connect();
    http::send(&mut stream, method, path, &headers).unwrap();
    stream
}

fn ask(server: &TestServer, method: &str, path: &str, headers: &[(&str, &str)]) -> ScrapeAnswer {
    let mut bytes = Vec::new();
    let mut stream = send(server, method, path, headers);
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    ScrapeAnswer {
        status: status(&head),
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> ScrapeAnswer {
    ask(server, "GET", path, headers)
}

/// The value of a series of the text.
fn value(text: &str, series: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn each_gets_the_format_it_likes() {
    let (server, _sampler) = start();
    for (accept, expected) in [
        (None, Format::Text),
        (Some("*/*"), Format::Text),
        (Some(PROMETHEUS), Format::OpenMetrics),
        (
            Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.4"),
            Format::Text,
        ),
        (Some("application/vnd.google.protobuf"), Format::Text),
    ] {
        let headers: Vec<_> = accept
            .map(|accept| ("Accept", accept))
            .into_iter()
            .collect();
        let answer = get(&server, "/metrics", &headers);
        let text = answer.text();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some(expected.content_type()));
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
        let is_open = expected == Format::OpenMetrics;
        assert_eq!(text.ends_with("\n# EOF\n"), is_open, "{text}");
        assert_eq!(
            text.contains("# TYPE halfopen_scrapes counter"),
            is_open,
            "{text}"
        );
        assert!(
            text.contains("\nhalfopen_scrapes_total{code=\"200\"} "),
            "{text}"
        );
        assert!(text.contains("\nprocess_threads "), "{text}");
    }
    server.stop();
}

#[test]
fn gzip_is_for_those_who_ask() {
    let (server, _sampler) = start();
    let path = "/metrics";
    let plain = get(&server, path, &[]);
    for (accept, is_packed) in [
        ("gzip", true),
        ("gzip, deflate, br", true),
        ("gzip;q=0", false),
        ("identity", false),
        ("br", false),
    ] {
        for format in ["*/*", PROMETHEUS] {
            let headers = [("Accept-Encoding", accept), ("Accept", format)];
            let answer = get(&server, path, &headers);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                answer.header("content-encoding").is_some(),
                is_packed,
                "{accept}"
            );
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
            let length = answer.header("content-length").unwrap();
            assert_eq!(length, answer.body.len().to_string());
            let text = answer.text();
            assert!(text.contains("\nhalfopen_records "), "{text}");
            if is_packed {
                assert!(
                    answer.body.len() * 2 < plain.body.len(),
                    "{}",
                    answer.body.len()
                );
            }
            let head = ask(&server, "HEAD", path, &headers);
            assert!(head.body.is_empty(), "{head:?}");
            let length: usize = head.header("content-length").unwrap().parse().unwrap();
            assert!(length > 100);
            for same in ["content-type", "content-encoding", "vary"] {
                assert_eq!(head.header(same), answer.header(same), "{same}");
            }
        }
    }
    server.stop();
}

/// Names of families by the text's own account.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn sections_can_be_asked_for_alone() {
    let (server, _sampler) = start();
    let everything = families(&get(&server, "/metrics", &[]).text());
    let of = |sections: &[Section]| {
        let metrics = declared().into_iter();
        let wanted = metrics.filter(|metric| sections.contains(&metric.section));
        let names: BTreeSet<_> = wanted.map(|metric| metric.name.to_owned()).collect();
        &names & &everything
    };
    for (query, expected) in [
        ("collect[]=scrapes", of(&[Section::Scrapes])),
        (
            "collect%5B%5D=losses&collect[]=process",
            of(&[Section::Losses, Section::Process]),
        ),
        (
            "x=y&exclude[]=process",
            &everything - &of(&[Section::Process]),
        ),
        ("collect=nothing", everything.clone()),
    ] {
        let answer = get(&server, &format!("/metrics?{query}"), &[]);
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(families(&answer.text()), expected, "{query}");
        assert!(!expected.is_empty(), "{query}");
    }
    // What there is nothing of is an exposition too.
    let none = get(
        &server,
        "/metrics?collect[]=walk",
        &[("Accept", PROMETHEUS)],
    );
    assert_eq!((none.status, none.text().as_str()), (200, "# EOF\n"));
    for (query, said) in [
        ("collect[]=cpu", "probes, deaths, resets"),
        ("exclude[]=", "probes, deaths, resets"),
        ("collect[]=walk&exclude[]=deaths", "cannot be combined"),
    ] {
        let wrong = get(&server, &format!("/metrics?{query}"), &[]);
        assert_eq!(wrong.status, 400, "{query}");
        assert!(wrong.text().contains(said), "{query}: {}", wrong.text());
    }
    server.stop();
}

#[test]
fn an_answer_comes_before_the_scraper_gives_up() {
    let source = never();
    let (server, _sampler) = TestServer::start(ServerLimits::default(), source.clone());
    let answer = get(
        &server,
        "/metrics",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "0.4")],
    );
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
    let text = answer.text();
    assert!(text.contains("no snapshot within 200ms"), "{text}");
    assert!(text.contains("scrape_timeout"), "{text}");
    let wrong = get(
        &server,
        "/metrics",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "10s")],
    );
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert_eq!(source.taken.load(Ordering::SeqCst), 0);
    server.stop();
}

#[test]
fn a_timeout_that_says_nothing_is_none() {
    let source = Fake {
        delay: Duration::from_millis(300),
        ..Fake::default()
    };
    let (server, _sampler) = TestServer::start(ServerLimits::default(), source);
    for timeout in ["10", "0", "-1", "inf", ""] {
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", timeout)];
        let answer = get(&server, "/metrics", &headers);
        assert_eq!(answer.status, 200, "{timeout}: {answer:?}");
    }
    server.stop();
}

#[test]
fn scrapes_at_one_time_are_limited() {
    let (server, _sampler) = TestServer::start_allowing(2, ServerLimits::default(), never());
    // Not refused, this one waits for a moment and says so.
    let third = || {
        let answer = get(
            &server,
            "/metrics",
            &[("X-Prometheus-Scrape-Timeout-Seconds", "0.02")],
        );
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        answer.text()
    };
    assert!(third().contains("no snapshot within"));
    let mut waiting = [(); 3].map(|()| send(&server, "GET", "/metrics", &[]));
    // Two of them wait, whichever came first.
    let mut refused = String::new();
    wait("three wait where two may", || {
        for stream in &mut waiting {
            stream.set_nonblocking(true).unwrap();
            drop(stream.read_to_string(&mut refused));
        }
        refused.ends_with('\n')
    });
    assert_eq!(refused.matches("HTTP/1.1").count(), 1, "{refused}");
    assert!(refused.contains("--web.max-requests"), "{refused}");
    assert!(third().contains("2 scrapes are waiting"), "{}", third());
    assert_eq!(get(&server, "/-/healthy", &[]).status, 200);
    drop(waiting);
    wait("who has gone holds a place", || {
        third().contains("no snapshot within")
    });
    server.stop();
}

#[test]
fn scrapes_are_counted() {
    let source = Fake {
        delay: Duration::from_millis(20),
        ..Fake::default()
    };
    let (server, _sampler) = TestServer::start(ServerLimits::default(), source);
    let mut bytes = [0, 0];
    for encoding in ["identity", "gzip", "gzip"] {
        let answer = get(&server, "/metrics", &[("Accept-Encoding", encoding)]);
        bytes[usize::from(encoding == "gzip")] += answer.body.len() as u64;
    }
    assert_eq!(ask(&server, "HEAD", "/metrics", &[]).status, 200);
    assert_eq!(get(&server, "/metrics?collect[]=x", &[]).status, 400);
    // Not scrapes.
    assert_eq!(ask(&server, "POST", "/metrics", &[]).status, 405);
    assert_eq!(get(&server, "/-/healthy", &[]).status, 200);
    let text = get(&server, "/metrics?collect[]=scrapes", &[]).text();
    for (code, count) in [("200", 4), ("400", 1), ("500", 0), ("503", 0)] {
        let series = format!("halfopen_scrapes_total{{code=\"{code}\"}}");
        assert_eq!(value(&text, &series), count, "{text}");
    }
    for (encoding, bytes) in ["identity", "gzip"].iter().zip(bytes) {
        let series = format!("halfopen_scrape_body_bytes_total{{encoding=\"{encoding}\"}}");
        assert_eq!(value(&text, &series), bytes, "{text}");
    }
    assert_eq!(value(&text, "halfopen_scrapes_in_flight"), 1, "{text}");
    let lasted = text
        .lines()
        .find_map(|line| line.strip_prefix("halfopen_snapshot_duration_seconds "));
    assert!(lasted.unwrap().parse::<f64>().unwrap() >= 0.02, "{text}");
    server.stop();
}
