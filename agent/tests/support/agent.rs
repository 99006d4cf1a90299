//! The real binary, as a person or a supervisor would run it.
//! It must never leave a process behind: a dropped agent is killed.

#![allow(dead_code, reason = "each test uses its own part")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The uid of nobody.
const NOBODY: u32 = 65534;

/// The binary, deaf to the environment of whoever runs the tests.
pub fn halfopen(arguments: &[&str]) -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_halfopen")), arguments)
}

fn command(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HALFOPEN_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    halfopen(arguments).output().unwrap()
}

/// Runs it to its end as a user without any privilege.
pub fn run_unprivileged(arguments: &[&str]) -> Output {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return run(arguments);
    }
    // The build folder may be closed to other users.
    let folder = TempDir::new().unwrap();
    let binary = folder.path().join("halfopen");
    // By another process: a descriptor open for writing, inherited by a child that another test
    // starts just then, would make the copy "busy" (ETXTBSY).
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_halfopen")).arg(&binary);
    assert!(copy.status().unwrap().success());
    for path in [folder.path(), &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    command(&binary, arguments)
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output()
        .unwrap()
}

/// What was written to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one line by which it says why it failed.
pub fn sentence(output: &Output) -> String {
    let stderr = stderr(output);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("halfopen: "))
        .collect();
    assert_eq!(lines.len(), 1, "one sentence, not {stderr:?}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    lines[0].to_owned()
}

/// A running agent.
pub struct Agent {
    child: Child,
    log: BufReader<ChildStderr>,
    pub address: SocketAddr,
    /// The log so far, a JSON object a line.
    pub lines: Vec<Value>,
}

impl Agent {
    /// Starts it on a free port of loopback; returns when its hooks are attached.
    pub fn start(arguments: &[&str]) -> Self {
        let agent = Self::start_secured(arguments);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !agent.get("/-/ready").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < deadline, "the agent does not get ready");
            thread::sleep(Duration::from_millis(50));
        }
        agent
    }

    /// Starts it on a free port of loopback, where it may answer strangers nothing; returns when it
    /// listens.
    pub fn start_secured(arguments: &[&str]) -> Self {
        let fixed = [
            "agent",
            "--log-format",
            "json",
            "--web.listen-address",
            "127.0.0.1:0",
        ];
        let mut child = halfopen(&[&fixed, arguments].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut agent = Self {
            child,
            log,
            address: ([127, 0, 0, 1], 0).into(),
            lines: Vec::new(),
        };
        let line = agent.wait_for_line("listening");
        agent.address = line["address"].as_str().unwrap().parse().unwrap();
        agent
    }

    /// Reads the log up to a line with this message.
    pub fn wait_for_line(&mut self, message: &str) -> Value {
        loop {
            let mut text = String::new();
            let read = self.log.read_line(&mut text).unwrap();
            assert_ne!(
                read, 0,
                "the agent ended before \"{message}\"; its log: {:#?}",
                self.lines
            );
            let line: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            self.lines.push(line.clone());
            if line["message"] == message {
                return line;
            }
        }
    }

    /// One request; the whole answer.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Memory that it has now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.unwrap().split_whitespace().next();
        number.unwrap().parse().unwrap()
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let number = match signal {
            "-TERM" => Signal::TERM,
            "-INT" => Signal::INT,
            other => panic!("{other}?"),
        };
        kill_process(pid, number).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the agent does not end on {signal}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
