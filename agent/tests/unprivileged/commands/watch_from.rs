//! `halfopen watch --from` a server in this process, with events made by hand.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::{
        fd::AsRawFd as _,
        unix::{net::UnixListener, process::ExitStatusExt as _},
    },
    process::{Child, ChildStdout, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    fixtures::{
        events,
        server::{Fake, TestServer, wait},
    },
    support::binary::{halfopen, run, sentence},
};
use halfopen::{
    host::cgroups,
    serve::{Access, ServerLimits},
};
use halfopen_core::model::event::{Event, Listener, Missed};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tempfile::TempDir;

fn serve() -> (TestServer, halfopen::serve::Sampler) {
    TestServer::start(ServerLimits::default(), Fake::default())
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn event(port: u16) -> Event {
    let mut event = events::kinds().remove(0);
    event.connection.remote.set_port(port);
    event
}

fn death(port: u16) -> Event {
    let mut event = events::deaths().remove(0);
    event.connection.remote.set_port(port);
    event
}

/// A running `halfopen watch`; killed when dropped.
struct WatchProcess(Child);

impl WatchProcess {
    /// Returns when the server has it among its watchers.
    fn start(server: &TestServer, arguments: &[&str]) -> Self {
        Self::start_from(server, &url(server.address), arguments)
    }

    fn start_from(server: &TestServer, from: &str, arguments: &[&str]) -> Self {
        let child = halfopen(&[&["watch", "--from", from], arguments].concat())
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let watch = Self(child);
        if !arguments.contains(&"--deaths") {
            wait("it does not watch", || server.feed.is_watched());
        }
        watch
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        out.lines().map(Result::unwrap)
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.ended()
    }

    /// Waits for its end.
    fn ended(&mut self) -> ExitStatus {
        wait("it does not end", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap()
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let mut err = self.0.stderr.take().unwrap();
        err.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for WatchProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether whoever writes to this pipe has to wait for a reader.
fn is_full(pipe: &ChildStdout) -> bool {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let writer = fs::OpenOptions::new().write(true).open(path).unwrap();
    let mut polled = [PollFd::new(&writer, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec::default())).unwrap() == 0
}

#[test]
fn a_refusal_of_the_agent_is_passed_on() {
    let (server, _sampler) = serve();
    let from = format!("http://localhost:{}", server.address.port());
    let output = run(&["watch", "--from", &from, "cgroup", "/no/such/group"]);
    let sentence = sentence(&output);
    assert_eq!(output.status.code(), Some(1), "{sentence}");
    // Where there are no cgroups, the reason is another.
    let reason = cgroups::id("/no/such/group").unwrap_err().to_string();
    let reason = reason.escape_debug().to_string();
    for said in ["refused (400 Bad Request)", &reason] {
        assert!(sentence.contains(said), "{sentence}");
    }
    server.stop();
}

#[test]
fn by_the_unix_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("own.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let (server, pending) = TestServer::pending_with(
        ServerLimits::default(),
        Access::open().unwrap(),
        vec![socket.into()],
    );
    let _sampler = pending.run(Fake::default(), Duration::from_secs(3600), |_| ());
    let path = path.to_str().unwrap();
    for from in [path.to_owned(), format!("unix:{path}")] {
        let mut watch = WatchProcess::start_from(&server, &from, &["--json"]);
        server.feed.hear(event(5));
        let line: Value = serde_json::from_str(&watch.lines().next().unwrap()).unwrap();
        assert_eq!(line["remote"]["port"], 5);
        assert_eq!(watch.end(Signal::TERM).code(), Some(0));
        wait("its place stays taken", || !server.feed.is_watched());
    }
    server.stop();
    let output = run(&["watch", "--from", path]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("cannot reach an agent at unix:{path}");
    assert!(
        sentence(&output).contains(&expected),
        "{}",
        sentence(&output)
    );
}

#[test]
fn an_agent_that_ends() {
    let (server, _sampler) = serve();
    let mut watch = WatchProcess::start(&server, &["--json"]);
    server.feed.hear(event(5));
    let mut lines = watch.lines();
    let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(line["remote"]["port"], 5);
    server.stop();
    assert_eq!(lines.next(), None);
    assert_eq!(watch.ended().code(), Some(1));
    let complaint = watch.complaint();
    assert!(complaint.contains("has ended"), "{complaint}");
    assert!(!complaint.contains("panic"), "{complaint}");
}

#[test]
fn what_is_shown() {
    let (server, _sampler) = serve();
    server.feed.hear(death(1));
    let since = &["--deaths", "--since-start", "dport < :10"];
    let mut watching = WatchProcess::start(&server, since);
    let mut text = watching.lines();
    let titles = text.next().unwrap();
    assert!(
        titles.starts_with("TIME                     EVENT"),
        "{titles}"
    );
    let first = text.next().unwrap();
    assert!(
        first.starts_with("2025-11-24 16:00:00.123  death "),
        "{first}"
    );
    let mut json = WatchProcess::start(&server, &["--json"]);
    let mut json = json.lines();
    server.feed.hear(event(2));
    server.feed.hear(death(11));
    server.feed.missed(Missed {
        events: 3,
        deaths: 1,
    });
    server.feed.hear(death(3));
    let mut next = || -> Value { serde_json::from_str(&json.next().unwrap()).unwrap() };
    for (port, number) in [(2, Value::Null), (11, 2.into())] {
        let line = next();
        assert_eq!(
            (&line["remote"]["port"], &line["number"]),
            (&port.into(), &number)
        );
    }
    let dropped = next();
    assert_eq!(
        (&dropped["what"], &dropped["events"]),
        (&"dropped".into(), &3.into())
    );
    assert_eq!(next()["number"], 3);
    let dropped = text.next().unwrap();
    assert!(dropped.contains(" dropped ") && dropped.ends_with("1 event missing here"));
    assert!(text.next().unwrap().contains("192.0.2.7:3 "));
    server.stop();
}

#[test]
fn a_closed_pipe_is_no_error() {
    let (server, _sampler) = serve();
    // While nothing happens.
    let mut silent = WatchProcess::start(&server, &[]);
    drop(silent.0.stdout.take());
    assert_eq!(silent.ended().code(), Some(0), "{}", silent.complaint());
    wait("the agent still feeds it", || !server.feed.is_watched());
    // In the midst of a line.
    let mut busy = WatchProcess::start(&server, &["--json"]);
    for _ in 0..1_000 {
        server.feed.hear(event(1));
    }
    let mut out = busy.0.stdout.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    drop(out);
    assert_eq!(busy.ended().code(), Some(0), "{}", busy.complaint());
    assert_eq!(busy.complaint(), "");
    server.stop();
}

#[test]
fn signals_end_it_though_its_reader_does_not_read() {
    let (server, _sampler) = serve();
    for signal in [Signal::INT, Signal::TERM] {
        let mut idle = WatchProcess::start(&server, &[]);
        assert_eq!(idle.end(signal).code(), Some(0), "{signal:?}");
        wait("its place stays taken", || !server.feed.is_watched());
        // More than any pipe holds.
        let mut stuck = WatchProcess::start(&server, &["--json"]);
        for _ in 0..2_000 {
            server.feed.hear(event(1));
        }
        wait("the pipe does not get full", || {
            is_full(stuck.0.stdout.as_ref().unwrap())
        });
        let status = stuck.end(signal);
        assert_eq!(
            (status.code(), status.signal()),
            (Some(0), None),
            "{signal:?}"
        );
        // So that the next one is waited for, not this.
        wait("its place stays taken", || !server.feed.is_watched());
    }
    server.stop();
}

#[test]
fn a_reader_that_reads_gets_whole_lines_to_the_end() {
    let (server, _sampler) = serve();
    let mut watch = WatchProcess::start(&server, &["--json"]);
    let mut out = watch.0.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    for number in 0..20_000 {
        server.feed.hear(event(number));
        if number == 15_000 {
            kill_process(Pid::from_child(&watch.0), Signal::TERM).unwrap();
        }
    }
    assert_eq!(watch.ended().code(), Some(0));
    let text = reader.join().unwrap();
    assert!(text.ends_with("}\n"), "{:?}", &text[text.len() - 50..]);
    for line in text.lines() {
        let _: Value = serde_json::from_str(line).unwrap();
    }
    server.stop();
}

/// To one who after every 5,000 lines does not read until 35,000 more are sent: what was shown and what
/// was told as dropped make the whole.
#[test]
fn a_flood_is_accounted_for() {
    const SENT: u64 = 200_000;
    const LAST: u16 = 60_000;
    let (server, _sampler) = serve();
    let mut watch = WatchProcess::start(&server, &["--json"]);
    let lines = watch.lines();
    let sent = Arc::new(AtomicU64::new(0));
    let so_far = Arc::clone(&sent);
    let reader = thread::spawn(move || {
        let (mut shown, mut dropped) = (0_u64, 0_u64);
        for (number, line) in lines.enumerate() {
            if number % 5_000 == 0 {
                let until = SENT.min(so_far.load(Ordering::SeqCst) + 35_000);
                wait("no more is sent", || so_far.load(Ordering::SeqCst) >= until);
            }
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["what"] == "dropped" {
                dropped += line["events"].as_u64().unwrap();
            } else {
                shown += 1;
            }
            if line["remote"]["port"] == LAST {
                break;
            }
        }
        (shown, dropped)
    });
    let an_event = event(1);
    for number in 0..SENT {
        server.feed.hear(an_event.clone());
        sent.fetch_add(1, Ordering::SeqCst);
        if number % 500 == 0 {
            server.feed.missed(Missed {
                events: 2,
                deaths: 0,
            });
        }
    }
    server.feed.hear(event(LAST));
    let (shown, dropped) = reader.join().unwrap();
    assert!(shown > 1_000 && dropped > 1_000, "{shown} {dropped}");
    assert_eq!(shown + dropped, SENT + 2 * SENT / 500 + 1);
    drop(watch);
    server.stop();
}
