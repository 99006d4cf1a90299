//! One thread owns the source of snapshots; requests that come while it is busy share the next one.
//!
//! # Invariants
//! A request gets a snapshot that was started after it, or an error.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::rendered_snapshot::RenderedSnapshot;
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

#[derive(Default)]
struct SnapshotQueue {
    phase: Phase,
    waiting: Vec<oneshot::Sender<Arc<RenderedSnapshot>>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Running,
    Ended,
}

#[derive(Default)]
struct SamplerState {
    state: Mutex<SnapshotQueue>,
    changed: Condvar,
}

impl SamplerState {
    // The state is valid at every unlock, so poisoning does not matter.
    fn lock(&self) -> MutexGuard<'_, SnapshotQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        if phase == Phase::Ended {
            state.waiting.clear();
        }
        self.changed.notify_all();
    }
}

/// Requests snapshots; cheap to clone.
#[derive(Clone)]
pub struct Snapshots(Arc<SamplerState>);

impl Snapshots {
    /// Whether snapshots are available.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.0.lock().phase == Phase::Running
    }

    /// A snapshot started after this call.
    ///
    /// # Errors
    /// When none is available; see [`SnapshotError`].
    pub async fn take(&self) -> Result<Arc<RenderedSnapshot>, SnapshotError> {
        let answer = self.enqueue()?;
        match tokio::time::timeout(SNAPSHOT_TIMEOUT, answer).await {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(_)) => Err(SnapshotError::Ended),
            Err(_) => Err(SnapshotError::Stuck),
        }
    }

    fn enqueue(&self) -> Result<oneshot::Receiver<Arc<RenderedSnapshot>>, SnapshotError> {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Starting => return Err(SnapshotError::Starting),
            Phase::Ended => return Err(SnapshotError::Ended),
            Phase::Running => {}
        }
        if state.waiting.len() >= MAX_WAITING {
            state.waiting.retain(|waiting| !waiting.is_closed());
            if state.waiting.len() >= MAX_WAITING {
                return Err(SnapshotError::Busy);
            }
        }
        let (sender, answer) = oneshot::channel();
        state.waiting.push(sender);
        self.0.changed.notify_all();
        Ok(answer)
    }
}

/// A sampler without its source: requests get [`SnapshotError::Starting`].
pub struct PendingSampler(Arc<SamplerState>);

/// Creates both ends; requests may come before the source runs.
#[must_use]
pub fn pending() -> (Snapshots, PendingSampler) {
    let shared = Arc::new(SamplerState::default());
    (Snapshots(Arc::clone(&shared)), PendingSampler(shared))
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
        let guard = EndGuard {
            shared: Arc::clone(&self.0),
            _ending: ending,
        };
        let shared = Arc::clone(&self.0);
        self.0.enter(Phase::Running);
        let thread = std::thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || {
                let guard = guard;
                sample(&guard.shared, source, interval, observe);
            })?;
        Ok(Sampler {
            shared,
            ended,
            thread,
        })
    }
}

/// Ends all waiting requests when the thread ends, even by a panic.
struct EndGuard {
    shared: Arc<SamplerState>,
    _ending: oneshot::Sender<()>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.shared.enter(Phase::Ended);
    }
}

fn sample<S: SnapshotSource>(
    shared: &SamplerState,
    mut source: S,
    interval: Duration,
    mut observe: impl FnMut(&Snapshot),
) {
    // The first one at once: it reports the state of the hooks, and starts every comparison.
    let mut due = Instant::now();
    while let Some(waiting) = next_round(shared, due) {
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

/// Waits for a request, or until `due`; `None` when the sampler ends.
fn next_round(
    shared: &SamplerState,
    due: Instant,
) -> Option<Vec<oneshot::Sender<Arc<RenderedSnapshot>>>> {
    let mut state = shared.lock();
    loop {
        if state.phase == Phase::Ended {
            return None;
        }
        let left = due.saturating_duration_since(Instant::now());
        if !state.waiting.is_empty() || left.is_zero() {
            return Some(std::mem::take(&mut state.waiting));
        }
        state = shared
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// A running sampler.
pub struct Sampler {
    shared: Arc<SamplerState>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
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
    pub fn stop(self) -> Result<(), String> {
        self.shared.enter(Phase::Ended);
        self.thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            text.or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned())
        })
    }
}
