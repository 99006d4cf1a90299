//! The arguments of `halfopen agent`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use halfopen_core::filter::Filter;

use super::{
    filter, groups::GroupArgs, hooks::HookArgs, interval::interval, logs::LogLevel,
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
    /// Listen only on the sockets that systemd passes (socket activation)
    #[arg(long = "web.systemd-socket", env = "HALFOPEN_WEB_SYSTEMD_SOCKET")]
    systemd_socket: bool,
    /// Web configuration file (TLS, basic auth, headers) in the format of Prometheus' exporter-toolkit;
    /// reloaded when it changes
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "HALFOPEN_WEB_CONFIG_FILE"
    )]
    web_config: Option<PathBuf>,
    /// Path under which metrics are served
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        env = "HALFOPEN_WEB_TELEMETRY_PATH",
        default_value = "/metrics"
    )]
    telemetry_path: TelemetryPath,
    /// Maximum number of concurrent scrapes; more get a 503. 0: no limit
    #[arg(
        long = "web.max-requests",
        value_name = "N",
        env = "HALFOPEN_WEB_MAX_REQUESTS",
        default_value_t = serve::MAX_REQUESTS
    )]
    max_requests: u64,
    #[command(flatten)]
    hooks: HookArgs,
    /// Maximum number of sockets with a record in the kernel; events of others are counted without details
    #[arg(long, value_name = "N", env = "HALFOPEN_MAX_RECORDS", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    max_records: u32,
    /// Maximum number of groups (owner, direction, port) in the kernel; the rest is counted as one
    #[arg(long, value_name = "N", env = "HALFOPEN_MAX_KERNEL_GROUPS", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_kernel_groups: u32,
    /// Pin records, counters and hooks in this directory of a BPF file system: they survive a restart of
    /// the agent [without DIR: /sys/fs/bpf/halfopen]
    #[arg(
        long,
        value_name = "DIR",
        env = "HALFOPEN_PIN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = options::PINS
    )]
    pin: Option<PathBuf>,
    /// Do not enable the kernel's BPF statistics; hook runs and run time are then unknown
    #[arg(long, env = "HALFOPEN_NO_BPF_STATS")]
    no_bpf_stats: bool,
    /// Interval between comparisons with the kernel's SNMP counters: 500ms, 5s, 1m
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_COMPARE_INTERVAL",
        default_value = "5s",
        value_parser = interval
    )]
    compare_interval: Duration,
    /// Number of recent deaths to keep for /api/v1/deaths
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_DEATHS_KEPT",
        default_value_t = 10_000,
        value_parser = deaths_kept
    )]
    deaths_kept: usize,
    /// Leave deaths that match this FILTER out of halfopen_deaths_total and the death records, and count them
    /// in halfopen_deaths_ignored_total; repeatable. For health checks that connect and reset:
    /// 'sport = :443 and age < 1s and bytes-received = 0'. A death whose record is lost is not ignored
    #[arg(
        long,
        value_name = "FILTER",
        env = "HALFOPEN_IGNORE",
        value_parser = filter::of_ignored_deaths
    )]
    ignore: Vec<Filter>,
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
                ignore: self.ignore.clone(),
                thresholds: self.walk.thresholds.thresholds(),
                walk_interval: self.walk.walk_interval.0,
                ..self.hooks.options()
            },
        }
    }
}

/// A death takes about 700 bytes.
fn deaths_kept(typed: &str) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    let number = typed.parse().ok().filter(|number| *number <= MOST);
    number.ok_or_else(|| format!("expected a number from 0 to {MOST}"))
}

/// How existing sockets are read, and when they are idle.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct WalkArgs {
    /// Interval between walks over all sockets, such as 10s; auto: as often as 1 % of one core allows, at
    /// most once a second
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
