//! Prometheus and promtool: from the PATH, or out of Debian's package, which is not installed: it would
//! start a server.
//!
//! # Invariants
//! Its server listens on loopback only, and ends with the task.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::{apt, process, ready, workspace};

/// The environment variable that names their folder to the tests.
pub const VARIABLE: &str = "HALFOPEN_PROMETHEUS";

const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The folder in which both are; fetched where need be.
pub fn folder() -> Result<PathBuf> {
    if let Some(found) = found() {
        return Ok(found);
    }
    if !apt::is_debian_12() {
        bail!("prometheus and promtool are not on the PATH, both in one folder");
    }
    let unpacked = apt::unpack("prometheus", &tools()).context("fetching Prometheus")?;
    Ok(unpacked.join("usr/bin"))
}

/// The folder, where nothing has to be fetched.
pub fn found() -> Option<PathBuf> {
    let installed = process::find(PROGRAMS[0]).and_then(|it| Some(it.parent()?.to_owned()));
    let unpacked = tools().join("prometheus/usr/bin");
    let has_both = |folder: &PathBuf| PROGRAMS.iter().all(|it| folder.join(it).is_file());
    installed.into_iter().chain([unpacked]).find(has_both)
}

fn tools() -> PathBuf {
    workspace::target().join("tools")
}

/// A server that answers queries over what another one has recorded, and scrapes nothing.
pub struct Server {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on the data in `record`, which belongs to root where root has recorded; returns when it
    /// is ready.
    pub fn start(record: &Path) -> Result<Self> {
        let program = folder()?.join(PROGRAMS[0]);
        let configuration = record.join("nothing.yml");
        fs::write(&configuration, "{}")
            .with_context(|| format!("writing {}", configuration.display()))?;
        let free = || -> io::Result<SocketAddr> { TcpListener::bind("127.0.0.1:0")?.local_addr() };
        let address = free().context("looking for a free port")?;
        let log = record.join("prometheus.log");
        let child = process::as_root(&program, "reading what the tests as root have recorded")?
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                record.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(record)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("creating {}", log.display()))?)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + READY_WITHIN;
        while !ready::is_ready(address) {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("{} did not become ready: {log}", program.display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = process::stop(&mut self.child);
    }
}
