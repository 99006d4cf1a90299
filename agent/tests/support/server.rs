//! A server on loopback with a source that only counts, and a client that can misbehave.
//! It must never need root or a kernel program.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use halfopen::{
    model::snapshot::Snapshot,
    serve::{
        self, Access, Api, Feed, PendingSampler, Routes, Sampler, ServerLimits, SnapshotSource,
        Snapshots, WebListener,
    },
};
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

/// A source that takes its time and counts how often it was asked.
#[derive(Clone, Default)]
pub struct Fake {
    pub taken: Arc<AtomicU64>,
    pub delay: Duration,
    /// The snapshot, counted from 1, at which it panics.
    pub panics_at: Option<u64>,
}

impl SnapshotSource for Fake {
    fn snapshot(&mut self) -> Snapshot {
        thread::sleep(self.delay);
        let taken = self.taken.fetch_add(1, Ordering::SeqCst) + 1;
        assert_ne!(Some(taken), self.panics_at, "the fake source fails");
        Snapshot {
            records: taken,
            ..Snapshot::default()
        }
    }
}

/// A server without its source yet.
pub struct Server {
    pub address: SocketAddr,
    pub snapshots: Snapshots,
    pub runtime: Runtime,
    /// What it streams; keeps the latest ten deaths.
    pub feed: Feed,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub fn pending(limits: ServerLimits) -> (Self, PendingSampler) {
        Self::allowing(serve::MAX_REQUESTS, limits)
    }

    /// As many scrapes at one time; 0 is no limit.
    pub fn allowing(max_requests: u64, limits: ServerLimits) -> (Self, PendingSampler) {
        Self::with(max_requests, limits, Access::open().unwrap(), Vec::new())
    }

    /// Listens on loopback and on these.
    pub fn pending_with(
        limits: ServerLimits,
        access: Access,
        listeners: Vec<WebListener>,
    ) -> (Self, PendingSampler) {
        Self::with(serve::MAX_REQUESTS, limits, access, listeners)
    }

    fn with(
        max_requests: u64,
        limits: ServerLimits,
        access: Access,
        mut listeners: Vec<WebListener>,
    ) -> (Self, PendingSampler) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (snapshots, pending) = serve::pending();
        let (stop, stopped) = watch::channel(false);
        let feed = Feed::new(10);
        let routes = Routes::new(
            snapshots.clone(),
            "/metrics".parse().unwrap(),
            Api::new(feed.clone(), stopped.clone()),
        )
        .with_max_requests(max_requests);
        listeners.push(listener.into());
        let server = runtime.spawn(serve::serve(listeners, routes, access, limits, stopped));
        (
            Self {
                address,
                snapshots,
                runtime,
                feed,
                stop,
                server,
            },
            pending,
        )
    }

    pub fn start(limits: ServerLimits, source: Fake) -> (Self, Sampler) {
        Self::start_allowing(serve::MAX_REQUESTS, limits, source)
    }

    pub fn start_allowing(
        max_requests: u64,
        limits: ServerLimits,
        source: Fake,
    ) -> (Self, Sampler) {
        let (server, pending) = Self::allowing(max_requests, limits);
        let sampler = pending
            .run(source, Duration::from_secs(3600), |_| ())
            .unwrap();
        (server, sampler)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Sends `bytes` and reads until the server closes.
    pub fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may have answered and closed before it has read all of it.
        drop(stream.write_all(bytes));
        read_all(stream)
    }

    pub fn request(&self, method: &str, path: &str) -> String {
        self.send(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
    }

    pub fn get(&self, path: &str) -> String {
        self.request("GET", path)
    }

    /// Tells the server to end; returns when it has.
    pub fn stop(self) {
        self.tell_to_stop();
        self.runtime.block_on(self.server).unwrap().unwrap();
    }

    /// Tells the server to end, which it may have done already.
    pub fn tell_to_stop(&self) {
        let _ = self.stop.send(true);
    }
}

/// Waits for what happens on another thread.
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer, because of bytes never read, is the server's right.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8(answer).unwrap()
}

pub fn status(answer: &str) -> u16 {
    let code = answer
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| answer.strip_prefix("HTTP/1.0 "));
    code.and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
