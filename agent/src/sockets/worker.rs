//! The thread that walks over all sockets from time to time, and whenever somebody asks for a list.
//!
//! # Invariants
//! A walk takes at most 1 % of one core, see `pause`. A snapshot does not wait for a walk.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

use super::reader::{Reader, WalkResult};
use crate::bpf::Error;
use halfopen_core::model::{
    assessed::{ConnectionList, ListOptions, Predicate},
    liveness::Thresholds,
};

/// The pause after a walk is at least this many times its CPU time: 1 % of one core.
const PACE: u32 = 100;
/// With few sockets a walk costs next to nothing, and need not be done more often than this.
const SHORTEST: Duration = Duration::from_secs(1);
/// In the background it works this long at a time …
const STRETCH: Duration = Duration::from_millis(2);
/// … and rests this long, so that whoever shares its processor gets its turn.
const REST: Duration = Duration::from_millis(2);
/// The shortest pause after a failed walk.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// What is shown first is better complete than early: a start waits this long for the first walk.
const FIRST_WALK: Duration = Duration::from_secs(3);
/// Who may wait for a list at a time.
const MOST_WAITING: usize = 8;

/// A request for a list of connections, with the channel for the answer.
struct ListRequest {
    wanted: Predicate,
    extent: ListOptions,
    answer: mpsc::Sender<Result<ConnectionList, String>>,
}

#[derive(Default)]
struct WorkerState {
    latest: Option<Arc<WalkResult>>,
    failure: Option<String>,
    requests: Vec<ListRequest>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<WorkerState>,
    changed: Condvar,
}

impl Shared {
    // A panic of the thread must not spread: the state is valid at every unlock.
    fn lock(&self) -> MutexGuard<'_, WorkerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread; it ends when this is dropped.
pub struct WalkWorker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Asks for lists; cheap to clone.
#[derive(Clone)]
pub struct ListRequester(Arc<Shared>);

impl ListRequester {
    /// Every connection that is `wanted`, read afresh; what is beyond the extent's limit is counted.
    /// Blocks until they are read.
    ///
    /// # Errors
    /// Why they cannot be read, or that too many are waiting.
    pub fn read(&self, extent: ListOptions, wanted: Predicate) -> Result<ConnectionList, String> {
        let (answer, answered) = mpsc::channel();
        {
            let mut state = self.0.lock();
            if state.ended {
                return Err("the agent is ending".into());
            }
            if state.requests.len() >= MOST_WAITING {
                return Err(format!(
                    "{MOST_WAITING} lists are being made already; ask again in a second"
                ));
            }
            state.requests.push(ListRequest {
                wanted,
                extent,
                answer,
            });
            self.0.changed.notify_all();
        }
        answered
            .recv()
            .unwrap_or_else(|_| Err("the agent is ending".into()))
    }
}

impl WalkWorker {
    /// Starts it; the first walk is done at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        mut reader: Reader,
        thresholds: Thresholds,
        interval: Option<Duration>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let run = move || {
            let _ending = Ending(&theirs);
            let mut due = Instant::now();
            while let Some(request) = next(&theirs, due) {
                if let Some(request) = request {
                    let reading = reader.list_to(request.extent, &request.wanted);
                    // One who has gone away meanwhile is no error.
                    let _ = request
                        .answer
                        .send(reading.map_err(|error| error.to_string()));
                    continue;
                }
                let (began, cpu) = (Instant::now(), cpu_time());
                let mut rested = began;
                let passed = reader.pass(&thresholds, || {
                    if rested.elapsed() >= STRETCH {
                        thread::sleep(REST);
                        rested = Instant::now();
                    }
                });
                let cpu = cpu_time().saturating_sub(cpu);
                due = Instant::now() + pause(cpu, began.elapsed(), passed.is_err(), interval);
                publish(&theirs, passed);
            }
        };
        let thread = thread::Builder::new()
            .name("walk".into())
            .spawn(run)
            .map_err(|source| Error::Thread {
                what: "walks over the sockets",
                source,
            })?;
        let walks = Self {
            shared,
            thread: Some(thread),
        };
        walks.wait_for_first();
        Ok(walks)
    }

    /// Until the first walk is done or has failed, but not for ever: with millions of sockets it may
    /// take seconds.
    fn wait_for_first(&self) {
        let until = Instant::now() + FIRST_WALK;
        let mut state = self.shared.lock();
        while state.latest.is_none() && state.failure.is_none() && !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The latest walk; `Err` says why there is none.
    pub fn latest(&self) -> Result<Arc<WalkResult>, String> {
        let state = self.shared.lock();
        let missing = || {
            state
                .failure
                .clone()
                .unwrap_or_else(|| "the first walk is not done yet".into())
        };
        state.latest.clone().ok_or_else(missing)
    }

    /// For those who want lists.
    #[must_use]
    pub fn lists(&self) -> ListRequester {
        ListRequester(Arc::clone(&self.shared))
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.requests.clear();
        self.0.changed.notify_all();
    }
}

fn publish(shared: &Shared, passed: Result<WalkResult, Error>) {
    let mut state = shared.lock();
    match passed {
        Ok(pass) => {
            state.latest = Some(Arc::new(pass));
            state.failure = None;
        }
        Err(error) => {
            warn!(%error, "a walk over the sockets failed");
            // What an older walk found would be shown with an age that only grows.
            state.latest = None;
            state.failure = Some(error.to_string());
        }
    }
    shared.changed.notify_all();
}

/// Waits until a list is asked for, or a walk is due (`Some(None)`); `None` when it is time to end.
fn next(shared: &Shared, due: Instant) -> Option<Option<ListRequest>> {
    let mut state = shared.lock();
    loop {
        if state.ended {
            return None;
        }
        if !state.requests.is_empty() {
            return Some(Some(state.requests.remove(0)));
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(None);
        }
        state = shared
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// How long to wait after a walk that took `cpu` of CPU time and `took` in all.
///
/// Without an interval a walk takes at most 1 % of one core, failed or not. Outside this budget are
/// lists, which are read on request, and walks at an interval that was set by `--walk-interval`.
fn pause(cpu: Duration, took: Duration, failed: bool, interval: Option<Duration>) -> Duration {
    match (interval, failed) {
        (Some(interval), false) => interval.saturating_sub(took),
        (Some(_), true) => AFTER_FAILURE,
        (None, false) => SHORTEST.max(cpu.saturating_mul(PACE)),
        (None, true) => AFTER_FAILURE.max(cpu.saturating_mul(PACE)),
    }
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Drop for WalkWorker {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_interval_a_walk_takes_at_most_one_percent_of_a_core() {
        let ms = Duration::from_millis;
        // CPU time, time in all, failed, interval, pause.
        let rows = [
            (ms(0), ms(0), false, None, ms(1_000)),
            (ms(1), ms(2), false, None, ms(1_000)),
            (ms(10), ms(10), false, None, ms(1_000)),
            (ms(11), ms(30), false, None, ms(1_100)),
            (ms(4_000), ms(9_000), false, None, ms(400_000)),
            (ms(0), ms(0), true, None, ms(10_000)),
            (ms(100), ms(100), true, None, ms(10_000)),
            (ms(101), ms(250), true, None, ms(10_100)),
            (ms(4_000), ms(9_000), true, None, ms(400_000)),
            (ms(100), ms(300), false, Some(ms(1_000)), ms(700)),
            (ms(100), ms(300), false, Some(ms(200)), ms(0)),
            (ms(4_000), ms(9_000), true, Some(ms(1_000)), ms(10_000)),
        ];
        for (cpu, took, failed, interval, expected) in rows {
            let row = format!("{cpu:?} of {took:?}, failed: {failed}, interval: {interval:?}");
            let pause = pause(cpu, took, failed, interval);
            assert_eq!(pause, expected, "{row}");
            if interval.is_none() {
                assert!(cpu * 100 <= pause, "{row}: {pause:?}");
            }
        }
    }
}
