//! The thread that walks over all sockets from time to time, and whenever somebody asks for a list.
//! It must never take more of a processor than its share, nor make a snapshot wait.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

use super::reader::{Pass, Reader};
use crate::bpf::Error;
use halfopen_core::model::{
    assessed::{ConnectionList, ListOptions, Predicate},
    liveness::Thresholds,
};

/// A walk is paid off after this many times its own processor time: 1 % of one core.
const PACE: u32 = 100;
/// With few sockets a walk costs next to nothing, and need not be done more often than this.
const SHORTEST: Duration = Duration::from_secs(1);
/// In the background it works this long at a time …
const STRETCH: Duration = Duration::from_millis(2);
/// … and rests this long, so that whoever shares its processor gets its turn.
const REST: Duration = Duration::from_millis(2);
/// After a failure it is tried again this much later.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// What is shown first is better complete than early: a start waits this long for the first walk.
const FIRST_WALK: Duration = Duration::from_secs(3);
/// Who may wait for a list at a time.
const MOST_WAITING: usize = 8;

/// A list that was asked for.
struct Order {
    wanted: Predicate,
    extent: ListOptions,
    answer: mpsc::Sender<Result<ConnectionList, String>>,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Pass>>,
    failure: Option<String>,
    orders: Vec<Order>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    // A panic of the thread must not spread: the state is valid at every unlock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread; it ends when this is dropped.
pub struct Walks {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Asks for lists; cheap to clone.
#[derive(Clone)]
pub struct Lists(Arc<Shared>);

impl Lists {
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
            if state.orders.len() >= MOST_WAITING {
                return Err(format!(
                    "{MOST_WAITING} lists are being made already; ask again in a second"
                ));
            }
            state.orders.push(Order {
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

impl Walks {
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
            while let Some(order) = next(&theirs, due) {
                if let Some(order) = order {
                    let reading = reader.list_to(order.extent, &order.wanted);
                    // One who has gone away meanwhile is no error.
                    let _ = order
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
                let pause = match (&passed, interval) {
                    (Err(_), _) => AFTER_FAILURE,
                    (Ok(_), Some(interval)) => interval.saturating_sub(began.elapsed()),
                    (Ok(_), None) => ((cpu_time().saturating_sub(cpu)) * PACE).max(SHORTEST),
                };
                due = Instant::now() + pause;
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
    pub fn latest(&self) -> Result<Arc<Pass>, String> {
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
    pub fn lists(&self) -> Lists {
        Lists(Arc::clone(&self.shared))
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.orders.clear();
        self.0.changed.notify_all();
    }
}

fn publish(shared: &Shared, passed: Result<Pass, Error>) {
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
fn next(shared: &Shared, due: Instant) -> Option<Option<Order>> {
    let mut state = shared.lock();
    loop {
        if state.ended {
            return None;
        }
        if !state.orders.is_empty() {
            return Some(Some(state.orders.remove(0)));
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

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Drop for Walks {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook already.
            let _ = thread.join();
        }
    }
}
