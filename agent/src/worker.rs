//! A thread that owns something, answers requests for it, and does its own work when that is due.
//!
//! # Invariants
//! However the thread ends, no request waits for it in vain.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The thread is not running yet.
    NotStarted,
    /// As many as may wait are waiting.
    Full,
    /// The thread has ended, or is about to.
    Ended,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    NotStarted,
    Running,
    Ended,
}

struct Queue<T> {
    phase: Phase,
    waiting: Vec<T>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    most_waiting: usize,
}

/// The requests that wait for a thread; cheap to clone.
pub struct Requests<T>(Arc<Shared<T>>);

impl<T> Clone for Requests<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Requests<T> {
    /// For a thread that is not started yet; at most `most_waiting` may wait.
    #[must_use]
    pub fn new(most_waiting: usize) -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                phase: Phase::default(),
                waiting: Vec::new(),
            }),
            changed: Condvar::new(),
            most_waiting,
        }))
    }

    /// Whether the thread runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().phase == Phase::Running
    }

    /// Adds one; where there is no room, requests that `is_abandoned` give way.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn push(&self, request: T, is_abandoned: impl Fn(&T) -> bool) -> Result<(), Refusal> {
        let mut queue = self.lock();
        match queue.phase {
            Phase::NotStarted => return Err(Refusal::NotStarted),
            Phase::Ended => return Err(Refusal::Ended),
            Phase::Running => {}
        }
        if queue.waiting.len() >= self.0.most_waiting {
            queue.waiting.retain(|waiting| !is_abandoned(waiting));
            if queue.waiting.len() >= self.0.most_waiting {
                return Err(Refusal::Full);
            }
        }
        queue.waiting.push(request);
        self.0.changed.notify_all();
        Ok(())
    }

    /// For the thread: waits for requests and takes at most `most`, the oldest first; none when its own
    /// work is due. `None` when it is to end.
    pub fn next(&self, most: usize, due: Instant) -> Option<Vec<T>> {
        let mut queue = self.lock();
        loop {
            if queue.phase == Phase::Ended {
                return None;
            }
            let left = due.saturating_duration_since(Instant::now());
            if !queue.waiting.is_empty() || left.is_zero() {
                let taken = most.min(queue.waiting.len());
                return Some(queue.waiting.drain(..taken).collect());
            }
            queue = self
                .0
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn enter(&self, phase: Phase) {
        let mut queue = self.lock();
        queue.phase = phase;
        if phase == Phase::Ended {
            // Whoever waits for an answer finds the channel closed.
            queue.waiting.clear();
        }
        self.0.changed.notify_all();
    }

    // The queue is valid at every unlock, so poisoning does not matter.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread; it ends after the work in progress when this is dropped, which does not wait for it.
pub struct Worker<T> {
    requests: Requests<T>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread of this name for these requests; `run` returns when [`Requests::next`] says so.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        name: &str,
        requests: Requests<T>,
        run: impl FnOnce(&Requests<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let ending = Ending(requests.clone());
        requests.enter(Phase::Running);
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let ending = ending;
            run(&ending.0);
        })?;
        Ok(Self {
            requests,
            thread: Some(thread),
        })
    }
}

impl<T> Worker<T> {
    /// The requests that it takes.
    pub const fn requests(&self) -> &Requests<T> {
        &self.requests
    }

    /// Ends the thread and waits until the work in progress is done.
    ///
    /// # Errors
    /// The panic message, when the thread panicked.
    pub fn stop(&mut self) -> Result<(), String> {
        self.requests.enter(Phase::Ended);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            text.or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned())
        })
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.requests.enter(Phase::Ended);
    }
}

/// Ends all waiting requests when the thread ends, even by a panic or when it could not be started.
struct Ending<T>(Requests<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.enter(Phase::Ended);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);
    type Answer = mpsc::Sender<u32>;

    fn keep(_: &Answer) -> bool {
        false
    }

    #[test]
    fn requests_are_taken_in_their_order_and_the_own_work_when_it_is_due() {
        let requests = Requests::new(8);
        assert_eq!(requests.push(1, |_| false), Err(Refusal::NotStarted));
        requests.enter(Phase::Running);
        for request in 1..=3 {
            requests.push(request, |_| false).unwrap();
        }
        let later = Instant::now() + NEVER;
        assert_eq!(requests.next(1, later), Some(vec![1]));
        assert_eq!(requests.next(usize::MAX, later), Some(vec![2, 3]));
        assert_eq!(requests.next(1, Instant::now()), Some(vec![]));
        requests.enter(Phase::Ended);
        assert_eq!(requests.next(1, later), None);
        assert_eq!(requests.push(1, |_| false), Err(Refusal::Ended));
    }

    #[test]
    fn requests_that_were_abandoned_give_way() {
        let requests = Requests::new(2);
        requests.enter(Phase::Running);
        requests.push(1, |_| false).unwrap();
        requests.push(2, |_| false).unwrap();
        assert_eq!(requests.push(3, |_| false), Err(Refusal::Full));
        assert_eq!(requests.push(3, |request| *request == 1), Ok(()));
        let taken = requests.next(usize::MAX, Instant::now() + NEVER);
        assert_eq!(taken, Some(vec![2, 3]));
    }

    #[test]
    fn a_request_wakes_the_thread_and_a_stop_ends_it() {
        let run = |requests: &Requests<Answer>| {
            while let Some(taken) = requests.next(1, Instant::now() + NEVER) {
                taken.iter().for_each(|answer| answer.send(7).unwrap());
            }
        };
        let mut worker = Worker::start("test", Requests::new(1), run).unwrap();
        let (answer, answered) = mpsc::channel();
        worker.requests().push(answer, keep).unwrap();
        assert_eq!(answered.recv(), Ok(7));
        assert!(worker.requests().is_running());
        assert_eq!(worker.stop(), Ok(()));
    }

    #[test]
    fn a_panic_lets_go_of_all_who_wait_and_is_told() {
        let (go, gone) = mpsc::channel::<()>();
        let run = move |_: &Requests<Answer>| {
            gone.recv().unwrap();
            panic!("out of order");
        };
        let mut worker = Worker::start("test", Requests::new(1), run).unwrap();
        let (answer, answered) = mpsc::channel();
        worker.requests().push(answer, keep).unwrap();
        go.send(()).unwrap();
        assert!(answered.recv().is_err());
        assert!(!worker.requests().is_running());
        assert_eq!(worker.stop(), Err("out of order".into()));
    }
}
