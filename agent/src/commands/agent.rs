//! `halfopen agent`: listens, attaches the hooks, serves until told to end.
//! It must never serve numbers of hooks that no longer run: it ends instead.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tracing::{info, warn};

use crate::{
    cli::{HookArgs, LogLevel, ThresholdArgs, interval},
    collector::Monitor,
    commands::{grouping::GroupArgs, news::News},
    options::{self, Options},
    serve::{
        self, Access, Api, Feed, Limits, ListenAddress, ListenError, Listener, Listening, Refused,
        Routes, Sampler, Snapshots, TelemetryPath,
    },
};

/// Time between two looks for answers while somebody watches.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The exit code of a process ended by SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

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

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When an address or the hooks cannot be had, or the hooks are lost while running.
pub fn run(args: &AgentArgs, log_level: Option<LogLevel>) -> anyhow::Result<ExitCode> {
    // Before anything is attached: a second agent started by mistake must leave no trace.
    let access = access(args.web_config.as_deref())?;
    let mut listening = listen(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime's threads")?;
    let kernel_log = matches!(log_level, Some(LogLevel::Debug | LogLevel::Trace));
    let listeners = std::mem::take(&mut listening.listeners);
    let result = runtime.block_on(agent(args, listeners, access, kernel_log));
    // What still hangs in a blocking call must not keep the process.
    runtime.shutdown_background();
    // With it go the files of unix sockets.
    drop(listening);
    result
}

/// The file is called in full from here on: relative paths in it do not depend on where the agent is.
fn access(file: Option<&Path>) -> anyhow::Result<Access> {
    match file {
        None => Ok(Access::open()?),
        Some(file) => {
            let file = std::path::absolute(file)
                .with_context(|| format!("--web.config.file {} is no path", file.display()))?;
            Ok(Access::load(&file)?)
        }
    }
}

fn listen(args: &AgentArgs) -> Result<Listening, ListenError> {
    if args.systemd_socket {
        Listening::from_systemd()
    } else if args.listen.is_empty() {
        Listening::by_default(Path::new(serve::SOCKET))
    } else {
        Listening::on(&args.listen)
    }
}

async fn agent(
    args: &AgentArgs,
    listeners: Vec<Listener>,
    access: Access,
    kernel_log: bool,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    for listener in &listeners {
        info!(address = %listener, "listening");
    }
    let (snapshots, pending) = serve::pending();
    let (stop, stopped) = watch::channel(false);
    let feed = Feed::new(args.deaths_kept);
    let api = Api::new(feed.clone(), stopped.clone());
    let routes = Routes::new(snapshots.clone(), args.telemetry_path.clone(), api.clone())
        .with_max_requests(args.max_requests);
    let limits = Limits::default();
    let mut server = tokio::spawn(serve::serve(listeners, routes, access, limits, stopped));

    let options = Options {
        hooks: args.hooks.hooks.forced(),
        without: args.hooks.without.clone(),
        btf: args.hooks.btf.clone(),
        max_records: args.max_records,
        max_kernel_groups: args.max_kernel_groups,
        limits: args.groups.limits(),
        kubernetes_names: args.groups.kubernetes_names,
        compare_interval: args.compare_interval,
        pin: args.pin.clone(),
        bpf_stats: !args.no_bpf_stats,
        kernel_log,
        thresholds: args.walk.thresholds.thresholds(),
        walk_interval: args.walk.walk_interval.0,
    };
    // Loading is the kernel's work and takes its time: not on a thread that answers requests.
    let listener = Arc::new(feed.clone());
    let attaching = tokio::task::spawn_blocking(move || Monitor::start_telling(&options, listener));
    let monitor = tokio::select! {
        result = attaching => result.context("attaching the hooks panicked")??,
        // What is attached by then goes with the process.
        name = signals.next() => return Ok(told_to_end(name)),
    };
    let lists = monitor.lists();
    let lister = move |extent, wanted| lists.read(extent, wanted);
    api.open(Box::new(lister), args.walk.thresholds.thresholds());
    let mut news = News::default();
    let mut sampler = pending
        .run(monitor, args.compare_interval, move |snapshot| {
            news.see(snapshot, Instant::now());
        })
        .context("cannot start the thread that reads the hooks")?;
    tokio::spawn(look_often(feed, snapshots));

    let code = tokio::select! {
        name = signals.next() => told_to_end(name),
        // The reason comes out when the thread and the server are joined.
        () = sampler.ended() => ExitCode::FAILURE,
        result = &mut server => {
            result.context("the web server panicked")?.context("the web server could not start")?;
            return Err(anyhow!("the web server ended by itself; this is a fault of halfopen, please report it"));
        }
    };
    // A dropped receiver means that the server has ended already.
    let _ = stop.send(true);
    tokio::select! {
        result = end(server, sampler) => result.map(|()| code),
        name = signals.next() => {
            warn!(signal = name, "ending at once");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// No hook sees an answer come: while somebody watches, sockets are looked at as often as they are in
/// a scrape.
async fn look_often(feed: Feed, snapshots: Snapshots) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if feed.is_watched()
            && let Err(Refused::Ended) = snapshots.take().await
        {
            return;
        }
    }
}

fn told_to_end(signal: &'static str) -> ExitCode {
    info!(signal, "ending");
    ExitCode::SUCCESS
}

/// Finishes what is in flight, then detaches the hooks.
async fn end(server: JoinHandle<io::Result<()>>, sampler: Sampler) -> anyhow::Result<()> {
    let served = server.await;
    let sampled = tokio::task::spawn_blocking(|| sampler.stop()).await?;
    sampled.map_err(|panic| {
        anyhow!("reading the hooks failed ({panic}); the agent ends rather than serve stale numbers; this is a fault of halfopen, please report it")
    })?;
    served
        .context("the web server panicked")?
        .context("the web server could not start")
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
