//! Reads the ring buffers as they fill: events, and the programs' log.
//! It must never hold up a snapshot: it has its own thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use aya_log::EbpfLogger;
use halfopen_common::{Loss, Notice, what};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;
use zerocopy::FromBytes as _;

use super::decode::Notices;
use crate::bpf::{
    Error,
    maps::{self, Losses, Switches},
};
use halfopen_core::model::event::{Listener, Missed};

/// How often the buffers are looked at: the programs wake the thread only when one fills up.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Events of one round, so that a flood cannot keep it from ending.
const ROUND: usize = 4_096;

/// The thread; it ends when this is dropped.
pub struct Drain {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    /// Starts it.
    ///
    /// # Errors
    /// When a map is missing or the thread cannot be started.
    pub fn start(
        ebpf: &mut Ebpf,
        notices: Notices,
        switches: Switches,
        losses: Losses,
        listener: Arc<dyn Listener>,
        log: bool,
    ) -> Result<Self, Error> {
        let events = maps::events(ebpf)?;
        let logger = log.then(|| EbpfLogger::init(ebpf)).and_then(|logger| {
            logger
                .inspect_err(|error| warn!(%error, "the kernel side cannot log"))
                .ok()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = Reader {
            events,
            logger,
            notices,
            switches,
            // What pinned maps have lost before is no news.
            dropped: dropped(&losses),
            losses,
            listener,
        };
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                reader.round();
            }
            // Pinned programs go on, and nobody listens.
            reader.switches.set_watched(false);
        };
        let thread = thread::Builder::new()
            .name("events".into())
            .spawn(run)
            .map_err(|source| Error::Thread {
                what: "reads the kernel's events",
                source,
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

struct Reader {
    events: RingBuf<MapData>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    notices: Notices,
    switches: Switches,
    losses: Losses,
    listener: Arc<dyn Listener>,
    /// Events dropped by the kernel that were told.
    dropped: Missed,
}

impl Reader {
    fn round(&mut self) {
        self.switches.set_watched(self.listener.wants_all());
        self.wait();
        self.notices.set_clock();
        let mut missed = Missed::default();
        let mut any = false;
        for _ in 0..ROUND {
            let Some(item) = self.events.next() else {
                break;
            };
            any = true;
            let Ok(notice) = Notice::ref_from_bytes(&item) else {
                let bytes = item.len();
                warn!(bytes, "an event of an unknown size was left out");
                missed.events += 1;
                continue;
            };
            match self.notices.event(notice) {
                Some(event) => self.listener.hear(event),
                // Of a kind that this program does not know.
                None => {
                    missed.events += 1;
                    missed.deaths += u64::from(notice.what == what::DEATH);
                }
            }
        }
        // After the events: what was dropped comes after what found room. A buffer that was empty has
        // dropped nothing, and while a map is read no kprobe's program runs on that processor.
        if any {
            let dropped = dropped(&self.losses);
            missed.events += dropped.events.saturating_sub(self.dropped.events);
            missed.deaths += dropped.deaths.saturating_sub(self.dropped.deaths);
            self.dropped = dropped;
        }
        if missed != Missed::default() {
            self.listener.missed(missed);
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    fn wait(&self) {
        let mut fds = vec![PollFd::new(&self.events, PollFlags::IN)];
        fds.extend(
            self.logger
                .as_ref()
                .map(|logger| PollFd::new(logger, PollFlags::IN)),
        );
        // Interrupted or not: the buffers are looked at either way.
        let _ = poll(&mut fds, Some(&WAIT));
    }
}

/// What the kernel has dropped since the map was made.
fn dropped(losses: &Losses) -> Missed {
    Missed {
        events: losses.of(Loss::EventsDropped),
        deaths: losses.of(Loss::CertificatesLost),
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook already.
            let _ = thread.join();
        }
    }
}
