//! Reads the ring buffers as they fill: events, and the programs' log.
//!
//! # Invariants
//! Runs in a thread of its own: no snapshot waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use halfopen_common::{EventRecord, Loss, event_kind};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::ClockId,
};
use tracing::warn;
use zerocopy::FromBytes as _;

use super::{
    decode::{EventDecoder, now},
    undecided::Undecided,
};
use crate::bpf::{
    Error,
    loaded_object::Object,
    maps::event_buffer::{EventBuffer, KernelLog},
    maps::{Losses, Switches},
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
pub struct EventThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EventThread {
    /// Starts it.
    ///
    /// # Errors
    /// When a map is missing or the thread cannot be started.
    pub fn start(
        object: &mut Object,
        decoder: EventDecoder,
        switches: Switches,
        losses: Losses,
        listener: Arc<dyn Listener>,
        log: bool,
    ) -> Result<Self, Error> {
        let events = EventBuffer::take(object)?;
        let logger = log.then(|| KernelLog::open(object)).flatten();
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = RingReader {
            events,
            logger,
            decoder,
            undecided: Undecided::default(),
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

struct RingReader {
    events: EventBuffer,
    logger: Option<KernelLog>,
    decoder: EventDecoder,
    undecided: Undecided,
    switches: Switches,
    losses: Losses,
    listener: Arc<dyn Listener>,
    /// Events dropped by the kernel that were told.
    dropped: Missed,
}

impl RingReader {
    fn round(&mut self) {
        self.switches.set_watched(self.listener.wants_all());
        self.wait();
        self.decoder.set_clock();
        let mut missed = Missed::default();
        let mut any = false;
        for _ in 0..ROUND {
            let undecided = &mut self.undecided;
            let Some(record) = self.events.next(|item| read(undecided, item)) else {
                break;
            };
            any = true;
            match record {
                Ok(Some(event)) => self.tell(&event, &mut missed),
                Ok(None) => {}
                Err(unread) => missed.add(unread),
            }
        }
        let now = now(ClockId::Monotonic).as_nanos();
        for event in self
            .undecided
            .certain(u64::try_from(now).unwrap_or(u64::MAX))
        {
            self.tell(&event, &mut missed);
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

    fn tell(&self, event: &EventRecord, missed: &mut Missed) {
        match self.decoder.event(event) {
            Some(event) => self.listener.hear(event),
            // Of a kind that this program does not know.
            None => missed.add(Missed {
                events: 1,
                deaths: u64::from(event.kind == event_kind::DEATH),
            }),
        }
    }

    fn wait(&self) {
        let mut fds = vec![PollFd::new(self.events.readable(), PollFlags::IN)];
        fds.extend(
            self.logger
                .as_ref()
                .map(|logger| PollFd::new(logger.readable(), PollFlags::IN)),
        );
        // Interrupted or not: the buffers are looked at either way.
        let _ = poll(&mut fds, Some(&WAIT));
    }
}

/// One event, unless it is held back; or what is missed by not understanding it.
fn read(undecided: &mut Undecided, item: &[u8]) -> Result<Option<EventRecord>, Missed> {
    let Ok(record) = EventRecord::ref_from_bytes(item) else {
        let bytes = item.len();
        warn!(bytes, "an event of an unknown size was left out");
        return Err(Missed {
            events: 1,
            ..Missed::default()
        });
    };
    Ok(undecided.take(record))
}

/// What the kernel has dropped since the map was made.
fn dropped(losses: &Losses) -> Missed {
    Missed {
        events: losses.of(Loss::EventsDropped),
        deaths: losses.of(Loss::DeathRecordsLost),
    }
}

impl Drop for EventThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook already.
            let _ = thread.join();
        }
    }
}
