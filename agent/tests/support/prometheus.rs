//! A real Prometheus, asked by its HTTP API.
//! It must never outlive the test, nor be reached from another machine.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    env, fs,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::observe::http::Origin;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The folder in which promtool and prometheus are; `cargo xtask test` sets it.
const FOLDER: &str = "HALFOPEN_PROMETHEUS";

/// A program of Prometheus; `None`, having said so, where there is none.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = env::var_os(FOLDER).map(|folder| Path::new(&folder).join(name));
    if found.is_none() {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        // Past the test harness, which keeps what a passing test prints to itself.
        let line = format!("\nskipped: {test}: {FOLDER} is not set: `cargo xtask test` sets it\n");
        io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// A running server.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it with this configuration, its data in `folder`; returns when it answers.
    pub fn start(program: &Path, configuration: &str, folder: &Path) -> Self {
        let file = folder.join("prometheus.yml");
        fs::write(&file, configuration).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let log = fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut prometheus = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(60);
        while prometheus.origin().get("/-/ready").ok().map(|it| it.0) != Some(200) {
            let ended = prometheus.child.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("prometheus.log")).unwrap();
            assert!(ended.is_none(), "Prometheus ended: {}", log());
            assert!(
                Instant::now() < deadline,
                "Prometheus is not ready: {}",
                log()
            );
            thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    fn origin(&self) -> Origin {
        Origin::parse(&format!("http://{}", self.address)).unwrap()
    }

    /// The data of an answer of its API; with the error that it tells.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(parameters).finish();
        let answer = self.origin().get(&format!("/api/v1/{path}?{query}"));
        let (_, body) = answer.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(answer["error"].to_string()),
        }
    }

    /// The series that an expression has now.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.api("query", &[("query", expression)])?;
        Ok(series(&data))
    }

    /// The series that an expression had between two moments (seconds since the epoch).
    pub fn range(&self, expression: &str, from: u64, to: u64) -> Result<Vec<Value>, String> {
        let (from, to) = (from.to_string(), to.to_string());
        let parameters = [
            ("query", expression),
            ("start", &from),
            ("end", &to),
            ("step", "2"),
        ];
        Ok(series(&self.api("query_range", &parameters)?))
    }

    /// Its targets, as it tells of them.
    pub fn targets(&self) -> Vec<Value> {
        let data = self.api("targets", &[("state", "active")]).unwrap();
        data["activeTargets"].as_array().unwrap().clone()
    }

    /// Ends it so that all it knows is on disk.
    pub fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "Prometheus does not end");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn series(data: &Value) -> Vec<Value> {
    match data["resultType"].as_str() {
        // A scalar is always there.
        Some("scalar") => vec![data["result"].clone()],
        _ => data["result"].as_array().unwrap().clone(),
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
