//! One thread owns the source of snapshots; all who ask while it is busy share the next one.
//! It must never hand out a snapshot begun before it was asked for, nor one of a dead source.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::reading::Reading;
use halfopen_core::model::snapshot::Snapshot;

/// Requests that may wait for a snapshot; more is no monitoring but an accident or an attack.
const MAX_WAITING: usize = 256;

/// A snapshot takes milliseconds; a source that takes this long is stuck.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where snapshots come from.
pub trait Source: Send + 'static {
    /// Reads everything once. Slow (milliseconds); panics end the agent.
    fn snapshot(&mut self) -> Snapshot;
}

/// Why there is no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The source does not run yet.
    #[error("the hooks are not attached yet; try again in a second")]
    Starting,
    /// Too many are waiting.
    #[error("more than {MAX_WAITING} requests are waiting for a snapshot; scrape less often")]
    Busy,
    /// The source is stuck.
    #[error("no snapshot could be taken within {} seconds; see the agent's log", PATIENCE.as_secs())]
    Stuck,
    /// The source has ended.
    #[error("the agent is ending")]
    Ended,
}

#[derive(Default)]
struct State {
    phase: Phase,
    waiting: Vec<oneshot::Sender<Arc<Reading>>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Running,
    Ended,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    // A panic of the source must not spread: the state is valid at every unlock.
    fn lock(&self) -> MutexGuard<'_, State> {
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

/// Asks for snapshots; cheap to clone.
#[derive(Clone)]
pub struct Snapshots(Arc<Shared>);

impl Snapshots {
    /// Whether snapshots can be had now.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.0.lock().phase == Phase::Running
    }

    /// A snapshot begun after this call.
    ///
    /// # Errors
    /// When there is none to be had; see [`Refused`].
    pub async fn take(&self) -> Result<Arc<Reading>, Refused> {
        let answer = self.enqueue()?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(reading)) => Ok(reading),
            Ok(Err(_)) => Err(Refused::Ended),
            Err(_) => Err(Refused::Stuck),
        }
    }

    fn enqueue(&self) -> Result<oneshot::Receiver<Arc<Reading>>, Refused> {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Starting => return Err(Refused::Starting),
            Phase::Ended => return Err(Refused::Ended),
            Phase::Running => {}
        }
        if state.waiting.len() >= MAX_WAITING {
            state.waiting.retain(|waiting| !waiting.is_closed());
            if state.waiting.len() >= MAX_WAITING {
                return Err(Refused::Busy);
            }
        }
        let (sender, answer) = oneshot::channel();
        state.waiting.push(sender);
        self.0.changed.notify_all();
        Ok(answer)
    }
}

/// A sampler without its source: requests get [`Refused::Starting`].
pub struct Pending(Arc<Shared>);

/// Makes both ends; requests may come before the source is there.
#[must_use]
pub fn pending() -> (Snapshots, Pending) {
    let shared = Arc::new(Shared::default());
    (Snapshots(Arc::clone(&shared)), Pending(shared))
}

impl Pending {
    /// Runs `source` on a thread of its own: a snapshot whenever one is asked for, and one each
    /// `interval` even when nobody asks. `observe` sees every snapshot.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn run<S: Source>(
        self,
        source: S,
        interval: Duration,
        observe: impl FnMut(&Snapshot) + Send + 'static,
    ) -> std::io::Result<Sampler> {
        let (ending, ended) = oneshot::channel::<()>();
        let guard = Ending {
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

/// However the thread ends, nobody waits for it in vain.
struct Ending {
    shared: Arc<Shared>,
    _ending: oneshot::Sender<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.enter(Phase::Ended);
    }
}

fn sample<S: Source>(
    shared: &Shared,
    mut source: S,
    interval: Duration,
    mut observe: impl FnMut(&Snapshot),
) {
    // The first at once: it says how the hooks fare, and begins every comparison.
    let mut due = Instant::now();
    while let Some(waiting) = next_round(shared, due) {
        due = Instant::now() + interval;
        let begun = Instant::now();
        let snapshot = source.snapshot();
        let reading = Arc::new(Reading::new(snapshot, begun.elapsed()));
        observe(&reading.snapshot);
        for asked in waiting {
            // One who has gone away meanwhile is no error.
            drop(asked.send(Arc::clone(&reading)));
        }
    }
}

/// Waits until someone asks or a round is `due`; `None` when it is time to end.
fn next_round(shared: &Shared, due: Instant) -> Option<Vec<oneshot::Sender<Arc<Reading>>>> {
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
    shared: Arc<Shared>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Sampler {
    /// Returns when the thread has ended, which before [`Sampler::stop`] means that it panicked.
    pub async fn ended(&mut self) {
        // The sender never sends: it is dropped with the thread.
        drop((&mut self.ended).await);
    }

    /// Ends the thread after the snapshot it may be taking, and drops the source.
    ///
    /// # Errors
    /// When the thread panicked: with the message.
    pub fn stop(self) -> Result<(), String> {
        self.shared.enter(Phase::Ended);
        self.thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            text.or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned())
        })
    }
}
