//! One thread owns the source of snapshots; requests that come while it is busy share the next one.
//!
//! # Invariants
//! A request gets a snapshot that was started after it, or an error.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::rendered_snapshot::RenderedSnapshot;
use crate::worker::{Refusal, Requests, Worker};
use halfopen_core::model::snapshot::Snapshot;

/// Requests that may wait for a snapshot; more is an accident or an attack.
const MAX_WAITING: usize = 256;

/// A snapshot takes milliseconds: a source that takes this long is stuck.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where snapshots come from.
pub trait SnapshotSource: Send + 'static {
    /// Takes one snapshot. Takes milliseconds; a panic ends the agent.
    fn snapshot(&mut self) -> Snapshot;
}

/// Why there is no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The source is not running yet.
    #[error("the hooks are not attached yet; try again in a second")]
    Starting,
    /// Too many requests are waiting.
    #[error("more than {MAX_WAITING} requests are waiting for a snapshot; scrape less often")]
    Busy,
    /// The source is stuck.
    #[error("no snapshot could be taken within {} seconds; see the agent's log", SNAPSHOT_TIMEOUT.as_secs())]
    Stuck,
    /// The source has ended.
    #[error("the agent is ending")]
    Ended,
}

type SnapshotRequest = oneshot::Sender<Arc<RenderedSnapshot>>;

/// Requests snapshots; cheap to clone.
#[derive(Clone)]
pub struct Snapshots(Requests<SnapshotRequest>);

impl Snapshots {
    /// Whether snapshots are available.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.0.is_running()
    }

    /// A snapshot started after this call.
    ///
    /// # Errors
    /// When none is available; see [`SnapshotError`].
    pub async fn take(&self) -> Result<Arc<RenderedSnapshot>, SnapshotError> {
        let (request, answer) = oneshot::channel();
        self.0
            .push(request, SnapshotRequest::is_closed)
            .map_err(|refusal| match refusal {
                Refusal::NotStarted => SnapshotError::Starting,
                Refusal::Full => SnapshotError::Busy,
                Refusal::Ended => SnapshotError::Ended,
            })?;
        match tokio::time::timeout(SNAPSHOT_TIMEOUT, answer).await {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(_)) => Err(SnapshotError::Ended),
            Err(_) => Err(SnapshotError::Stuck),
        }
    }
}

/// A sampler without its source: requests get [`SnapshotError::Starting`].
pub struct PendingSampler(Requests<SnapshotRequest>);

/// Creates both ends; requests may come before the source runs.
#[must_use]
pub fn pending() -> (Snapshots, PendingSampler) {
    let requests = Requests::new(MAX_WAITING);
    (Snapshots(requests.clone()), PendingSampler(requests))
}

impl PendingSampler {
    /// Runs `source` on a thread of its own: takes a snapshot on request, and one each `interval` without
    /// requests. `observe` gets every snapshot.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn run<S: SnapshotSource>(
        self,
        source: S,
        interval: Duration,
        observe: impl FnMut(&Snapshot) + Send + 'static,
    ) -> std::io::Result<Sampler> {
        let (ending, ended) = oneshot::channel::<()>();
        let worker = Worker::start("snapshots", self.0, move |requests| {
            let _ending = ending;
            sample(requests, source, interval, observe);
        })?;
        Ok(Sampler { ended, worker })
    }
}

fn sample<S: SnapshotSource>(
    requests: &Requests<SnapshotRequest>,
    mut source: S,
    interval: Duration,
    mut observe: impl FnMut(&Snapshot),
) {
    // The first one at once: it reports the state of the hooks, and starts every comparison.
    let mut due = Instant::now();
    while let Some(waiting) = requests.next(usize::MAX, due) {
        due = Instant::now() + interval;
        let started = Instant::now();
        let snapshot = source.snapshot();
        let rendered = Arc::new(RenderedSnapshot::new(snapshot, started.elapsed()));
        observe(&rendered.snapshot);
        for request in waiting {
            // The request may have been cancelled.
            drop(request.send(Arc::clone(&rendered)));
        }
    }
}

/// A running sampler.
pub struct Sampler {
    ended: oneshot::Receiver<()>,
    worker: Worker<SnapshotRequest>,
}

impl Sampler {
    /// Returns when the thread has ended; before [`Sampler::stop`] this means that it panicked.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender is dropped with the thread.
        drop((&mut self.ended).await);
    }

    /// Ends the thread after the snapshot in progress, and drops the source.
    ///
    /// # Errors
    /// The panic message, when the thread panicked.
    pub fn stop(mut self) -> Result<(), String> {
        self.worker.stop()
    }
}
