//! The arguments of `halfopen agent`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use super::{
    groups::GroupArgs, hooks::HookArgs, interval::interval, logs::LogLevel,
    thresholds::ThresholdArgs,
};
use crate::{
    commands::agent::AgentConfig,
    options::{self, Options},
    serve::{self, ListenAddress, TelemetryPath},
};

/// The flags of `halfopen agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Address to listen on: :PORT (all addresses), HOST:PORT, [IPV6]:PORT or unix:PATH; repeatable
    /// [default: :9841 and unix:/run/halfopen/halfopen.sock]
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "HALFOPEN_WEB_LISTEN_ADDRESS",
        value_delimiter = ','
    )]
    listen: Vec<ListenAddress>,
    /// Listen on the sockets that systemd hands over, and nowhere else
    #[arg(long = "web.systemd-socket", env = "HALFOPEN_WEB_SYSTEMD_SOCKET")]
    systemd_socket: bool,
    /// TLS, passwords and headers: a file in the format of Prometheus' exporter-toolkit, read again when
    /// it changes
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "HALFOPEN_WEB_CONFIG_FILE"
    )]
    web_config: Option<PathBuf>,
    /// Path of the metrics
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        env = "HALFOPEN_WEB_TELEMETRY_PATH",
        default_value = "/metrics"
    )]
    telemetry_path: TelemetryPath,
    /// Scrapes that may wait for their answers at one time; more get a 503. 0: no limit
    #[arg(
        long = "web.max-requests",
        value_name = "N",
        env = "HALFOPEN_WEB_MAX_REQUESTS",
        default_value_t = serve::MAX_REQUESTS
    )]
    max_requests: u64,
    #[command(flatten)]
    hooks: HookArgs,
    /// Sockets that can have a record in the kernel at one time; more are counted, not described
    #[arg(long, value_name = "N", env = "HALFOPEN_MAX_RECORDS", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    max_records: u32,
    /// Groups (owner, direction, port) in the kernel's table; the rest is counted together
    #[arg(long, value_name = "N", env = "HALFOPEN_MAX_KERNEL_GROUPS", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_kernel_groups: u32,
    /// Keep records, counters and hooks in the kernel when the agent ends, for the next one to go on
    /// with: pinned in a directory of a BPF file system [default: /sys/fs/bpf/halfopen]
    #[arg(
        long,
        value_name = "DIR",
        env = "HALFOPEN_PIN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = options::PINS
    )]
    pin: Option<PathBuf>,
    /// Leave the kernel's BPF statistics off: hook runs and run time are then unknown
    #[arg(long, env = "HALFOPEN_NO_BPF_STATS")]
    no_bpf_stats: bool,
    /// Time between comparisons with the kernel's own counters: 500ms, 5s, 1m
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_COMPARE_INTERVAL",
        default_value = "5s",
        value_parser = interval
    )]
    compare_interval: Duration,
    /// The latest deaths whose certificates are kept for /api/v1/deaths
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_DEATHS_KEPT",
        default_value_t = 10_000,
        value_parser = deaths_kept
    )]
    deaths_kept: usize,
    #[command(flatten)]
    groups: GroupArgs,
    #[command(flatten)]
    walk: WalkArgs,
}

impl AgentArgs {
    /// What they mean; the kernel programs log at the debug level that was asked for.
    pub(super) fn config(&self, log_level: Option<LogLevel>) -> AgentConfig {
        AgentConfig {
            listen: self.listen.clone(),
            systemd_socket: self.systemd_socket,
            web_config: self.web_config.clone(),
            telemetry_path: self.telemetry_path.clone(),
            max_requests: self.max_requests,
            deaths_kept: self.deaths_kept,
            kernel: Options {
                max_records: self.max_records,
                max_kernel_groups: self.max_kernel_groups,
                limits: self.groups.limits(),
                kubernetes_names: self.groups.kubernetes_names,
                compare_interval: self.compare_interval,
                pin: self.pin.clone(),
                bpf_stats: !self.no_bpf_stats,
                kernel_log: matches!(log_level, Some(LogLevel::Debug | LogLevel::Trace)),
                thresholds: self.walk.thresholds.thresholds(),
                walk_interval: self.walk.walk_interval.0,
                ..self.hooks.options()
            },
        }
    }
}

/// Some 700 bytes each.
fn deaths_kept(typed: &str) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    let number = typed.parse().ok().filter(|number| *number <= MOST);
    number.ok_or_else(|| format!("a number from 0 to {MOST}"))
}

/// How all sockets are read and judged.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct WalkArgs {
    /// Time between walks over all sockets: a time such as 10s, or auto: as often as 1 % of one core
    /// allows, at most every second
    #[arg(
        long,
        value_name = "auto|TIME",
        env = "HALFOPEN_WALK_INTERVAL",
        default_value = "auto"
    )]
    walk_interval: WalkInterval,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

/// `--walk-interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WalkInterval(Option<Duration>);

impl FromStr for WalkInterval {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "auto" => Ok(Self(None)),
            typed => interval(typed)
                .map(|interval| Self(Some(interval)))
                .map_err(|reason| format!("auto, or a time: {reason}")),
        }
    }
}
