//! `halfopen watch --json` on this kernel, and connections that are reset before its eyes.
//! It must never leave a process behind: a dropped watch is killed.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::SockRef;

use crate::agent::halfopen;

/// Events come within this time, unless the machine stands still.
pub const SOON: Duration = Duration::from_secs(30);

/// A running `halfopen watch --json`; killed when dropped.
pub struct Watch {
    child: Child,
    pub lines: Receiver<Value>,
}

impl Watch {
    pub fn start(arguments: &[&str]) -> Self {
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

    pub fn spawn(arguments: &[&str]) -> Child {
        halfopen(&[&["watch", "--json"], arguments].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until connections to this listener are seen.
    pub fn began(&self, listener: &TcpListener) {
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
    pub fn until(
        &self,
        what: &str,
        ends: (SocketAddr, SocketAddr),
        seen: &mut Vec<Value>,
    ) -> Value {
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

    pub fn end(&mut self) -> ExitStatus {
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
pub fn end(child: &mut Child) -> ExitStatus {
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

pub fn is_of(line: &Value, (local, remote): (SocketAddr, SocketAddr)) -> bool {
    [("local", local), ("remote", remote)]
        .iter()
        .all(|(key, end)| {
            line[key]["port"] == end.port()
                && line[key]["address"].as_str() == Some(&end.ip().to_string())
        })
}

pub fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

pub fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Closes with linger 0: a reset.
pub fn abort(client: TcpStream) {
    let linger = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    linger.unwrap();
    drop(client);
}

pub fn reset(listener: &TcpListener) {
    let (client, server) = connect(listener);
    abort(client);
    drop(server);
}

pub fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}
