//! How late the machine wakes its threads. What a scenario fixes holds on a machine that runs what is due: where a
//! processor is taken away for longer than the shortest retransmission timeout allows, segments are sent twice and
//! answers come too late, and nobody has counted wrong.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// How often each processor is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// From here on a scenario may come out otherwise: half of the shortest retransmission timeout (TCP_RTO_MIN,
/// include/net/tcp.h).
pub const LATE: Duration = Duration::from_millis(100);

/// Watches every processor until it is dropped.
#[derive(Debug)]
pub struct Pace {
    delays: Arc<Mutex<Vec<Delay>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A thread that was woken late.
#[derive(Debug, Clone, Copy)]
struct Delay {
    due: Instant,
    woke: Instant,
}

impl Pace {
    /// Watches from now on.
    #[must_use]
    pub fn watch() -> Self {
        let delays = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let thread = |processor| {
            let (delays, ended) = (Arc::clone(&delays), Arc::clone(&ended));
            thread::spawn(move || watch(processor, &delays, &ended))
        };
        let threads = processors().into_iter().map(thread).collect();
        Self {
            delays,
            ended,
            threads,
        }
    }

    /// The longest delay on any processor, of those of at least [`LATE`] that touch this time; `None` without one.
    #[must_use]
    pub fn longest_delay(&self, from: Instant, to: Instant) -> Option<Duration> {
        let delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        let meanwhile = delays.iter().filter(|it| it.due < to && it.woke > from);
        meanwhile.map(|it| it.woke - it.due).max()
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so, and there is nothing to be done about it.
            drop(thread.join());
        }
    }
}

/// Those that this process may use. Where the kernel does not say, one thread watches wherever it runs.
fn processors() -> Vec<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let one = |processor| {
        let mut one = CpuSet::new();
        (allowed.is_set(processor).ok()? && one.set(processor).is_ok()).then_some(one)
    };
    let processors: Vec<_> = (0..CpuSet::count()).filter_map(one).collect();
    if processors.is_empty() {
        vec![allowed]
    } else {
        processors
    }
}

fn watch(processor: CpuSet, delays: &Mutex<Vec<Delay>>, ended: &AtomicBool) {
    // It may have gone offline: the thread watches another one then.
    let _ = sched_setaffinity(Pid::from_raw(0), &processor);
    while !ended.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        thread::sleep(EVERY);
        let woke = Instant::now();
        if woke.saturating_duration_since(due) >= LATE {
            let mut delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
            delays.push(Delay { due, woke });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_delay_that_touches_the_time() {
        let pace = Pace {
            delays: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        for (due, woke) in [(1000, 1150), (2000, 2400), (2000, 2200)] {
            let (due, woke) = (at(due), at(woke));
            pace.delays.lock().unwrap().push(Delay { due, woke });
        }
        for (from, to, expected) in [
            (0, 1000, None),
            (0, 1001, Some(150)),
            (1150, 2000, None),
            (1149, 2001, Some(400)),
            (2399, 9000, Some(400)),
            (2400, 9000, None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(
                pace.longest_delay(at(from), at(to)),
                expected,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn each_processor_is_watched() {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let count = (0..CpuSet::count())
            .filter(|&it| allowed.is_set(it).unwrap())
            .count();
        let pace = Pace::watch();
        assert_eq!(pace.threads.len(), count);
    }
}
