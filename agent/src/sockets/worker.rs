//! The thread that walks over all sockets from time to time, and whenever somebody asks for a list.
//!
//! # Invariants
//! A walk takes at most 1 % of one core, see `pause`. A snapshot does not wait for a walk.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::time::ClockId;
use tracing::warn;

use super::reader::{Reader, WalkResult};
use crate::bpf::Error;
use crate::host::clock;
use crate::worker::{Refusal, Requests, Worker};
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

/// The latest walk, or why there is none.
type Latest = Arc<Mutex<Result<Arc<WalkResult>, String>>>;

/// The running thread; it ends when this is dropped.
pub struct WalkWorker {
    latest: Latest,
    worker: Worker<ListRequest>,
}

/// Asks for lists; cheap to clone.
#[derive(Clone)]
pub struct ListRequester(Requests<ListRequest>);

impl ListRequester {
    /// Every connection that is `wanted`, read afresh; what is beyond the extent's limit is counted.
    /// Blocks until they are read.
    ///
    /// # Errors
    /// Why they cannot be read, or that too many are waiting.
    pub fn read(&self, extent: ListOptions, wanted: Predicate) -> Result<ConnectionList, String> {
        let (answer, answered) = mpsc::channel();
        let request = ListRequest {
            wanted,
            extent,
            answer,
        };
        let ending = || "the agent is ending".to_owned();
        // Such a channel does not tell whether its receiver has gone.
        self.0
            .push(request, |_| false)
            .map_err(|refusal| match refusal {
                Refusal::Full => {
                    format!("{MOST_WAITING} lists are being made already; ask again in a second")
                }
                Refusal::NotStarted | Refusal::Ended => ending(),
            })?;
        answered.recv().unwrap_or_else(|_| Err(ending()))
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
        let latest: Latest = Arc::new(Mutex::new(Err("the first walk is not done yet".into())));
        let ours = Arc::clone(&latest);
        let (first_done, first) = mpsc::channel();
        let run = move |requests: &Requests<ListRequest>| {
            let mut due = Instant::now();
            while let Some(mut taken) = requests.next(1, due) {
                if let Some(request) = taken.pop() {
                    let reading = reader.list_to(request.extent, &request.wanted);
                    // One who has gone away meanwhile is no error.
                    let _ = request
                        .answer
                        .send(reading.map_err(|error| error.to_string()));
                    continue;
                }
                let (began, cpu) = (Instant::now(), clock::now(ClockId::ThreadCPUTime));
                let mut rested = began;
                let walked = reader.walk(&thresholds, || {
                    if rested.elapsed() >= STRETCH {
                        thread::sleep(REST);
                        rested = Instant::now();
                    }
                });
                let cpu = clock::now(ClockId::ThreadCPUTime).saturating_sub(cpu);
                due = Instant::now() + pause(cpu, began.elapsed(), walked.is_err(), interval);
                publish(&latest, walked);
                let _ = first_done.send(());
            }
        };
        let worker = Worker::start("walk", Requests::new(MOST_WAITING), run).map_err(|source| {
            Error::Thread {
                what: "walks over the sockets",
                source,
            }
        })?;
        // Until the first walk is done or has failed, but not for ever: with millions of sockets it may
        // take seconds.
        let _ = first.recv_timeout(FIRST_WALK);
        Ok(Self {
            latest: ours,
            worker,
        })
    }

    /// The latest walk; `Err` says why there is none.
    pub fn latest(&self) -> Result<Arc<WalkResult>, String> {
        lock(&self.latest).clone()
    }

    /// For those who want lists.
    #[must_use]
    pub fn lists(&self) -> ListRequester {
        ListRequester(self.worker.requests().clone())
    }
}

fn publish(latest: &Latest, walked: Result<WalkResult, Error>) {
    *lock(latest) = walked.map(Arc::new).map_err(|error| {
        warn!(%error, "a walk over the sockets failed");
        // What an older walk found would be shown with an age that only grows.
        error.to_string()
    });
}

// A panic of the thread must not spread: what is there is valid at every unlock.
fn lock(latest: &Latest) -> MutexGuard<'_, Result<Arc<WalkResult>, String>> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Drop for WalkWorker {
    fn drop(&mut self) {
        // The panic hook has reported a panic already.
        let _ = self.worker.stop();
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
