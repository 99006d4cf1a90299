//! Reads the ring buffers as they fill: events, and the programs' log.
//!
//! # Invariants
//! Runs in a thread of its own: no snapshot waits for it, unless deaths are to be ignored.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use halfopen_common::{EventRecord, Loss, event_kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;
use zerocopy::FromBytes as _;

use super::{decode::EventDecoder, ignored::IgnoredTally, undecided::Undecided};
use crate::bpf::{
    Error,
    loaded_object::Object,
    maps::event_buffer::{EventBuffer, KernelLog},
    maps::{Losses, Switches},
};
use crate::host::clock;
use halfopen_core::model::event::{Event, Listener, Missed};

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
        ignored: Arc<IgnoredTally>,
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
            ignored,
            switches,
            // What pinned maps have lost before is no news.
            dropped: dropped(&losses),
            missed: Missed::default(),
            losses,
            listener,
        };
        let stopped = Arc::clone(&stop);
        let run = move || {
            let _ended = EndOfReading(Arc::clone(&reader.ignored));
            while !stopped.load(Ordering::Relaxed) {
                reader.round();
            }
            reader.report_certain(u64::MAX);
            reader.report_missed();
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

/// However the thread ends, no snapshot waits for it in vain.
struct EndOfReading(Arc<IgnoredTally>);

impl Drop for EndOfReading {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct RingReader {
    events: EventBuffer,
    logger: Option<KernelLog>,
    decoder: EventDecoder,
    undecided: Undecided,
    ignored: Arc<IgnoredTally>,
    switches: Switches,
    losses: Losses,
    listener: Arc<dyn Listener>,
    /// Events dropped by the kernel that were told.
    dropped: Missed,
    /// What the listener has yet to hear of.
    missed: Missed,
}

impl RingReader {
    fn round(&mut self) {
        self.switches.set_watched(self.listener.wants_all());
        self.wait();
        self.decoder.set_clock();
        let mut any = false;
        for _ in 0..ROUND {
            let Self {
                events,
                decoder,
                undecided,
                ignored,
                ..
            } = &mut *self;
            // Inside: before the record leaves the buffer.
            let read = events.next(|item| {
                let taken = undecided.take(read(item)?, ignored.position());
                taken.map_or(Ok(None), |record| event(decoder, ignored, &record))
            });
            let Some(read) = read else {
                break;
            };
            any = true;
            self.report(read);
        }
        self.report_certain(clock::monotonic_ns());
        // After the events: what was dropped comes after what found room. A buffer that was empty has
        // dropped nothing, and while a map is read no kprobe's program runs on that processor.
        if any {
            let dropped = dropped(&self.losses);
            self.missed.add(Missed {
                events: dropped.events.saturating_sub(self.dropped.events),
                deaths: dropped.deaths.saturating_sub(self.dropped.deaths),
            });
            self.dropped = dropped;
        }
        self.report_missed();
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Reports what was held back until it was certain.
    fn report_certain(&mut self, now_ns: u64) {
        for record in self.undecided.certain(now_ns) {
            let read = event(&self.decoder, &self.ignored, &record);
            self.report(read);
        }
        self.ignored.advance(self.undecided.oldest());
    }

    fn report(&mut self, read: Result<Option<Event>, Missed>) {
        match read {
            Ok(event) => event
                .into_iter()
                .for_each(|event| self.listener.hear(event)),
            Err(unread) => self.missed.add(unread),
        }
    }

    fn report_missed(&mut self) {
        let missed = mem::take(&mut self.missed);
        if missed != Missed::default() {
            self.listener.missed(missed);
        }
    }

    fn wait(&self) {
        let woken = self.ignored.woken();
        let mut fds = vec![
            PollFd::new(self.events.readable(), PollFlags::IN),
            PollFd::new(&woken, PollFlags::IN),
        ];
        fds.extend(
            self.logger
                .as_ref()
                .map(|logger| PollFd::new(logger.readable(), PollFlags::IN)),
        );
        // Interrupted or not: the buffers are looked at either way.
        let _ = poll(&mut fds, Some(&WAIT));
        self.ignored.clear_wake();
    }
}

/// One record; or what is missed by not understanding it.
fn read(item: &[u8]) -> Result<&EventRecord, Missed> {
    EventRecord::ref_from_bytes(item).map_err(|_| {
        let bytes = item.len();
        warn!(bytes, "an event of an unknown size was left out");
        Missed {
            events: 1,
            ..Missed::default()
        }
    })
}

/// The record's event, `None` if it is to be ignored; or what is missed by not understanding it.
fn event(
    decoder: &EventDecoder,
    ignored: &IgnoredTally,
    record: &EventRecord,
) -> Result<Option<Event>, Missed> {
    // Of a kind that this program does not know.
    let event = decoder.event(record).ok_or(Missed {
        events: 1,
        deaths: u64::from(record.kind == event_kind::DEATH),
    })?;
    Ok((!ignored.take(record, &event)).then_some(event))
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
