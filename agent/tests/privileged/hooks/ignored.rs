//! Deaths that the agent was asked to ignore: health checks that connect and reset, among other deaths,
//! checked against what was done.

use std::{
    io::{Read as _, Write as _},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::pin::{NOBODY, PrivateBpffs};
use crate::fixtures::{
    agent::AgentProcess,
    network::{enter_private, kernel_counter},
    scrape::{Scrape, json},
};
use socket2::{Domain, Socket, Type};

/// Both ends of a health check, and nothing else that happens here.
const HEALTH_CHECKS: &str =
    "age < 5s and bytes-sent = 0 and bytes-received = 0 and not cause refused";

/// What a connection that is no health check carries.
const DATA: &[u8] = b"unread";

/// A service on loopback.
struct Service(TcpListener);

impl Service {
    fn start() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn port(&self) -> String {
        self.address().port().to_string()
    }

    /// Connects and resets: two deaths, of connections without a byte.
    fn health_check(&self) {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.connect(&self.address().into()).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let (mut server, _) = self.0.accept().unwrap();
        assert!(server.read(&mut [0]).is_err(), "the reset has arrived");
    }

    /// Closes a connection with unread data: two deaths, one end has sent and one received.
    fn reset(&self) {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.connect(&self.address().into()).unwrap();
        let (mut server, _) = self.0.accept().unwrap();
        server.write_all(DATA).unwrap();
        client.peek(&mut [MaybeUninit::uninit(); 6]).unwrap();
        drop(client);
        assert!(server.read(&mut [0]).is_err(), "the reset has arrived");
    }
}

fn refused() {
    TcpStream::connect((Ipv4Addr::LOCALHOST, NOBODY)).unwrap_err();
}

/// Connections that were made.
#[derive(Default)]
struct Made {
    health_checks: u64,
    resets: u64,
    refused: u64,
}

impl Made {
    /// Health checks, and among them others: at most one in four.
    fn make(&mut self, service: &Service, health_checks: u64, others: &AtomicU64) {
        for number in 0..health_checks {
            service.health_check();
            self.health_checks += 1;
            // Counted before it happens: more than was shown at any time.
            if number % 4 == 0 {
                others.fetch_add(2, Ordering::SeqCst);
                service.reset();
                self.resets += 1;
            }
            if number % 7 == 0 {
                others.fetch_add(1, Ordering::SeqCst);
                refused();
                self.refused += 1;
            }
        }
    }

    fn check(&self, agent: &AgentProcess, service: &Service) {
        let scrape = Scrape::of(agent);
        let deaths = |port: &str, cause| {
            scrape.sum("halfopen_deaths_total", &[("port", port), ("cause", cause)])
        };
        let port = service.port();
        assert_eq!(deaths(&port, "reset_sent"), self.resets);
        assert_eq!(deaths(&port, "reset_received"), self.resets);
        assert_eq!(deaths(&NOBODY.to_string(), "refused"), self.refused);
        self.check_sums(&scrape);
        // Other figures are what they were.
        let all = self.health_checks + self.resets;
        let resets = |name| scrape.sum(name, &[("port", &port)]);
        assert_eq!(resets("halfopen_resets_received_total"), all);
        assert_eq!(resets("halfopen_resets_sent_total"), all);
        let silences = "halfopen_silence_before_death_seconds_count";
        assert_eq!(scrape.sum(silences, &[("cause", "reset_sent")]), all);
    }

    fn check_sums(&self, scrape: &Scrape) {
        let deaths = scrape.sum("halfopen_deaths_total", &[]);
        assert_eq!(deaths, 2 * self.resets + self.refused);
        let ignored = scrape.sum("halfopen_deaths_ignored_total", &[]);
        assert_eq!(ignored, 2 * self.health_checks);
    }
}

/// Scrapes again and again: deaths never go backwards, nor beyond what was made.
struct Watcher {
    stop: Arc<AtomicBool>,
    scrapes: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watcher {
    fn start(address: SocketAddr, others: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let scrapes = Arc::<AtomicU64>::default();
        let (stopped, others) = (Arc::clone(&stop), Arc::clone(others));
        let done = Arc::clone(&scrapes);
        let watch = move || {
            let mut latest = [0; 2];
            while !stopped.load(Ordering::Relaxed) {
                let scrape = Scrape::at(address);
                let sum = |name| scrape.sum(name, &[]);
                let now = ["halfopen_deaths_total", "halfopen_deaths_ignored_total"].map(sum);
                assert!(
                    now[0] >= latest[0] && now[1] >= latest[1],
                    "{now:?} {latest:?}"
                );
                let made = others.load(Ordering::SeqCst);
                assert!(now[0] <= made, "{now:?} of {made}");
                latest = now;
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self {
            stop,
            scrapes,
            thread: thread::spawn(watch),
        }
    }

    /// Whether it has scraped so often that it would have noticed. One that has failed never will again.
    fn has_seen_enough(&self) -> bool {
        self.scrapes.load(Ordering::Relaxed) > 20 || self.thread.is_finished()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn health_checks_are_ignored_and_nothing_else() {
    enter_private();
    let service = Service::start();
    // Refused by two flags together: of both, one is enough.
    let agent = AgentProcess::start(&["--ignore", HEALTH_CHECKS, "--ignore", "age > 1h"]);
    let sent_before = kernel_counter("OutRsts");
    let others = Arc::<AtomicU64>::default();
    let watcher = Watcher::start(agent.address, &others);
    let mut made = Made::default();
    made.make(&service, 2_000, &others);
    while !watcher.has_seen_enough() {
        made.make(&service, 100, &others);
    }
    watcher.end();
    let sent = kernel_counter("OutRsts") - sent_before;
    assert_eq!(sent, made.health_checks + made.resets + made.refused);
    made.check(&agent, &service);

    let deaths = json(&agent, "/api/v1/deaths?limit=100000");
    let kept = deaths["deaths"].as_array().unwrap();
    assert_eq!(deaths["arrived"], 2 * made.resets + made.refused);
    assert_eq!(kept.len() as u64, 2 * made.resets + made.refused);
    let data = DATA.len() as u64;
    for death in kept {
        let carried = (&death["sent_bytes"], &death["received_bytes"]);
        let expected = match (
            &*death["cause"].to_string(),
            &*death["direction"].to_string(),
        ) {
            ("\"refused\"", "\"outbound\"") => (0, 0),
            ("\"reset_sent\"", "\"outbound\"") => (0, data),
            ("\"reset_received\"", "\"inbound\"") => (data, 0),
            other => panic!("{other:?}"),
        };
        assert_eq!(carried, (&expected.0.into(), &expected.1.into()), "{death}");
    }
}

#[test]
#[ignore = "needs root"]
fn without_a_filter_nothing_is_ignored() {
    enter_private();
    let service = Service::start();
    let agent = AgentProcess::start(&[]);
    let mut made = Made::default();
    made.make(&service, 20, &AtomicU64::new(0));
    let scrape = Scrape::of(&agent);
    let deaths = scrape.sum("halfopen_deaths_total", &[]);
    assert_eq!(
        deaths,
        2 * made.health_checks + 2 * made.resets + made.refused
    );
    let id = ("halfopen_deaths_ignored_total".to_owned(), [].into());
    assert_eq!(scrape.0.get(&id), Some(&0.0));
}

/// The kernel's table has room for one group, and all others are counted as one.
#[test]
#[ignore = "needs root"]
fn deaths_are_ignored_in_groups_that_found_no_room() {
    enter_private();
    let (first, second) = (Service::start(), Service::start());
    let arguments = ["--ignore", HEALTH_CHECKS, "--max-kernel-groups", "2"];
    let agent = AgentProcess::start(&arguments);
    let others = AtomicU64::new(0);
    let mut made = Made::default();
    for service in [&first, &second, &first] {
        made.make(service, 50, &others);
    }
    let scrape = Scrape::of(&agent);
    made.check_sums(&scrape);
    assert!(scrape.sum("halfopen_groups_overflowed_total", &[]) > 0);
    let folded = scrape.sum("halfopen_deaths_total", &[("owner", "other")]);
    assert!(
        folded > 0 && folded < 2 * made.resets + made.refused,
        "{folded}"
    );
}

/// What earlier agents have ignored stays so, and so does what waits in the ring buffer between two.
#[test]
#[ignore = "needs root"]
fn restarts_ignore_nothing_twice_and_count_nothing_that_was_ignored() {
    let jail = PrivateBpffs::enter();
    let pin = jail.pin();
    let service = Service::start();
    let others = AtomicU64::new(0);
    let mut made = Made::default();
    let start = |more: &[&str]| AgentProcess::start(&[&[pin.as_str()], more].concat());
    for _ in 0..3 {
        let agent = start(&["--ignore", HEALTH_CHECKS]);
        made.make(&service, 100, &others);
        // Killed without a chance to clean up; then nobody reads.
        drop(agent);
        made.make(&service, 100, &others);
    }
    let agent = start(&["--ignore", HEALTH_CHECKS]);
    made.check(&agent, &service);
    drop(agent);
    // One that ignores nothing shows no more of what others have ignored, and counts from there.
    let agent = start(&[]);
    made.check(&agent, &service);
    service.health_check();
    let scrape = Scrape::of(&agent);
    let deaths = scrape.sum("halfopen_deaths_total", &[]);
    assert_eq!(deaths, 2 * made.resets + made.refused + 2);
}
