//! Prometheus' node_exporter with nothing but its collector tcpstat, scraped over HTTP.
//!
//! # Invariants
//! Its process ends with the one that started it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{time::clock_getcpuclockid, unistd::Pid};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::way::{SocketsSeen, Way, peak_kib};

/// In the benchmark's own network namespace.
const ADDRESS: &str = "127.0.0.1:9100";
const TIMEOUT: Duration = Duration::from_secs(10);
const METRIC: &str = "node_tcp_connection_states{";
/// These two are bytes, among states with their sockets.
const BYTES: [&str; 2] = ["rx_queued_bytes", "tx_queued_bytes"];

/// The running exporter.
pub struct Exporter {
    process: Child,
}

impl Exporter {
    /// Starts it, and waits until it listens.
    pub fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--collector.disable-defaults", "--collector.tcpstat"]);
        command.arg("--web.disable-exporter-metrics");
        command.arg(format!("--web.listen-address={ADDRESS}"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let die_with_parent = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
        // SAFETY: prctl(2) alone, which may be called between fork and exec.
        unsafe { command.pre_exec(die_with_parent) };
        let process = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "no {} here: install the Debian package prometheus-node-exporter, or name the \
                 program with --node-exporter",
                program.display()
            ),
            _ => anyhow!("starting {}: {error}", program.display()),
        })?;
        let mut exporter = Self { process };
        let began = Instant::now();
        while TcpStream::connect(ADDRESS).is_err() {
            if let Some(ended) = exporter.process.try_wait()? {
                bail!("{} ended early: {ended}", program.display());
            }
            ensure!(began.elapsed() < TIMEOUT, "it does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(exporter)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Way for Exporter {
    fn read(&mut self) -> Result<SocketsSeen> {
        let mut connection = TcpStream::connect(ADDRESS).context("connecting to it")?;
        connection
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .context("asking it")?;
        let mut page = String::new();
        let read = connection.read_to_string(&mut page);
        read.context("reading what it answers")?;
        let states: Vec<f64> = page
            .lines()
            .filter_map(|line| line.strip_prefix(METRIC))
            .filter(|line| !BYTES.iter().any(|state| line.contains(state)))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        ensure!(!states.is_empty(), "it tells no {METRIC}…}}");
        let sockets: f64 = states.iter().sum();
        Ok(SocketsSeen {
            sockets: format!("{sockets:.0}").parse().ok(),
            ..SocketsSeen::default()
        })
    }

    fn cpu(&self) -> Result<Duration> {
        let process = Pid::from_raw(self.process.id().try_into()?);
        let clock = clock_getcpuclockid(process).context("finding its clock")?;
        Ok(clock.now().context("reading its clock")?.into())
    }

    fn reset_peak(&mut self) -> Result<()> {
        // What it once took it has taken.
        Ok(())
    }

    fn peak_kib(&self) -> Result<u64> {
        peak_kib(&self.process.id().to_string())
    }
}
