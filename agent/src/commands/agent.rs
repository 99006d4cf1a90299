//! `halfopen agent`: listens, attaches the hooks, serves until a signal.
//!
//! # Invariants
//! It ends rather than serve numbers of hooks that no longer run.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, anyhow};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

use crate::{
    collector::Monitor,
    commands::{signals::Signals, snapshot_log::SnapshotLog, suspects::CHECK_INTERVAL},
    options::Options,
    serve::{
        self, Access, Api, BoundListeners, Feed, ListenAddress, ListenError, Routes, Sampler,
        ServerLimits, SnapshotError, Snapshots, TelemetryPath, WebListener,
    },
};

/// The exit code of a process ended by SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// What the agent serves and watches.
#[derive(Debug)]
pub struct AgentConfig {
    /// Addresses to listen on; empty for the default ones.
    pub listen: Vec<ListenAddress>,
    /// Whether to listen on the sockets that systemd passes, and nowhere else.
    pub systemd_socket: bool,
    /// TLS, passwords and headers.
    pub web_config: Option<PathBuf>,
    /// Path of the metrics.
    pub telemetry_path: TelemetryPath,
    /// Scrapes in progress at a time; 0 is no limit.
    pub max_requests: u64,
    /// Deaths kept for the API.
    pub deaths_kept: usize,
    /// How to watch the kernel.
    pub kernel: Options,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When an address or the hooks cannot be had, or the hooks are lost while running.
pub fn run(config: AgentConfig) -> anyhow::Result<ExitCode> {
    // Before anything is attached: a second agent started by mistake must leave no trace.
    let access = access(config.web_config.as_deref())?;
    let mut listening = listen(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the threads of the web server")?;
    let listeners = std::mem::take(&mut listening.listeners);
    let result = runtime.block_on(agent(config, listeners, access));
    // What still hangs in a blocking call must not keep the process.
    runtime.shutdown_background();
    // With it go the files of unix sockets.
    drop(listening);
    result
}

/// With an absolute path, relative paths in the file do not depend on the working directory.
fn access(file: Option<&Path>) -> anyhow::Result<Access> {
    match file {
        None => Ok(Access::open()?),
        Some(file) => {
            let file = std::path::absolute(file)
                .with_context(|| format!("--web.config.file {} is not a path", file.display()))?;
            Ok(Access::load(&file)?)
        }
    }
}

fn listen(config: &AgentConfig) -> Result<BoundListeners, ListenError> {
    if config.systemd_socket {
        BoundListeners::from_systemd()
    } else if config.listen.is_empty() {
        BoundListeners::by_default(Path::new(serve::SOCKET))
    } else {
        BoundListeners::on(&config.listen)
    }
}

async fn agent(
    config: AgentConfig,
    listeners: Vec<WebListener>,
    access: Access,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot install signal handlers")?;
    for listener in &listeners {
        info!(address = %listener, "listening");
    }
    let (snapshots, pending) = serve::pending();
    let (stop, stopped) = watch::channel(false);
    let feed = Feed::new(config.deaths_kept);
    let api = Api::new(feed.clone(), stopped.clone());
    let routes = Routes::new(
        snapshots.clone(),
        config.telemetry_path.clone(),
        api.clone(),
    )
    .with_max_requests(config.max_requests);
    let limits = ServerLimits::default();
    let mut server = tokio::spawn(serve::serve(listeners, routes, access, limits, stopped));

    let options = config.kernel.clone();
    // Loading is the kernel's work and takes its time: not on a thread that answers requests.
    let listener = Arc::new(feed.clone());
    let attaching = tokio::task::spawn_blocking(move || Monitor::start_telling(&options, listener));
    let monitor = tokio::select! {
        result = attaching => result.context("attaching the hooks panicked")??,
        // What is attached by then goes with the process.
        name = signals.next() => return Ok(ended_by(name)),
    };
    let lists = monitor.lists();
    let lister = move |extent, wanted| lists.read(extent, wanted);
    api.open(Box::new(lister), config.kernel.thresholds);
    let mut log = SnapshotLog::default();
    let mut sampler = pending
        .run(monitor, config.kernel.compare_interval, move |snapshot| {
            log.record(snapshot, Instant::now());
        })
        .context("cannot start the thread that reads the hooks")?;
    tokio::spawn(check_suspects(feed, snapshots));

    let code = tokio::select! {
        name = signals.next() => ended_by(name),
        // The reason comes out when the thread and the server are joined.
        () = sampler.ended() => ExitCode::FAILURE,
        result = &mut server => {
            result.context("the web server panicked")?.context("the web server could not start")?;
            return Err(anyhow!("the web server stopped unexpectedly; this is a bug in halfopen, please report it"));
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

/// No hook sees answers arrive: while somebody watches, snapshots check the sockets for them.
async fn check_suspects(feed: Feed, snapshots: Snapshots) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if feed.is_watched()
            && let Err(SnapshotError::Ended) = snapshots.take().await
        {
            return;
        }
    }
}

fn ended_by(signal: &'static str) -> ExitCode {
    info!(signal, "ending");
    ExitCode::SUCCESS
}

/// Finishes what is in flight, then detaches the hooks.
async fn end(server: JoinHandle<io::Result<()>>, sampler: Sampler) -> anyhow::Result<()> {
    let served = server.await;
    let sampled = tokio::task::spawn_blocking(|| sampler.stop()).await?;
    sampled.map_err(|panic| {
        anyhow!("reading the hooks failed ({panic}); the agent ends rather than serve stale numbers; this is a bug in halfopen, please report it")
    })?;
    served
        .context("the web server panicked")?
        .context("the web server could not start")
}
