//! Deaths that are to be ignored: which they are, and how many they were.
//!
//! The hooks have counted them, so what is shown is what they counted without these. A death is reported
//! before it is counted; a reading is therefore exact if the counters are read first and then every record
//! up to that moment: see [`IgnoredTally::up_to_now`].
//!
//! # Invariants
//! A snapshot waits for the thread that reads records only where something is to be ignored, and not for long.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use halfopen_common::{EventRecord, GroupKey, event_kind};
use halfopen_core::{
    filter::Filter,
    model::{event::Event, groups::Ignored},
};
use rustix::event::{EventfdFlags, eventfd};
use tracing::warn;

use crate::bpf::{
    Error,
    loaded_object::Object,
    maps::{ignored::IgnoredMap, ring_positions::RingPositions},
};

/// The thread is woken again after this time: it may have met a record that was still being written.
const RETRY: Duration = Duration::from_millis(2);
/// A thread that takes this long is stuck.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Counts what is ignored.
pub struct IgnoredTally {
    filters: Vec<Filter>,
    /// Where something is to be ignored.
    positions: Option<RingPositions>,
    /// Wakes the thread that reads records.
    wake: OwnedFd,
    state: Mutex<TallyState>,
    advanced: Condvar,
}

struct TallyState {
    reading: IgnoredReading,
    /// Up to where records were read and counted here.
    position: u64,
    /// Nobody reads records any more.
    has_ended: bool,
    /// Where the next agent finds it.
    kept: Option<IgnoredMap>,
}

/// What was ignored up to one moment.
#[derive(Debug, Clone, Default)]
pub struct IgnoredReading {
    /// By the group in which the hooks count them.
    pub deaths: Ignored,
    /// All of them, those in groups that are forgotten included.
    pub total: u64,
}

impl IgnoredTally {
    /// Ignores what matches one of the filters, and knows what earlier agents ignored where maps are kept.
    ///
    /// # Errors
    /// When the object lacks a map, or the kernel refuses.
    pub fn open(object: &mut Object, filters: Vec<Filter>, is_kept: bool) -> Result<Self, Error> {
        let positions = if filters.is_empty() {
            None
        } else {
            Some(RingPositions::of(object, "EVENTS")?)
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(|error| Error::Thread {
            what: "reads the kernel's events",
            source: error.into(),
        })?;
        let kept = is_kept.then(|| IgnoredMap::take(object)).transpose()?;
        let deaths = kept.as_ref().map(IgnoredMap::read).unwrap_or_default();
        let state = TallyState {
            reading: IgnoredReading {
                total: deaths.values().flat_map(|deaths| deaths.0).sum(),
                deaths,
            },
            position: positions.as_ref().map_or(0, RingPositions::read),
            has_ended: false,
            kept,
        };
        Ok(Self {
            filters,
            positions,
            wake,
            state: Mutex::new(state),
            advanced: Condvar::new(),
        })
    }

    /// What was ignored of the deaths that have been counted before this call. `None`, having said so, when
    /// the thread that reads their records does not get there.
    pub fn up_to_now(&self) -> Option<IgnoredReading> {
        let target = self.positions.as_ref().map_or(0, RingPositions::written);
        let deadline = Instant::now() + TIMEOUT;
        let mut state = self.lock();
        while state.position < target && !state.has_ended {
            if Instant::now() >= deadline {
                warn!("the thread that reads death records is stuck: the last counters stand");
                return None;
            }
            // Full means that it will wake.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
            state = self
                .advanced
                .wait_timeout(state, RETRY)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Some(state.reading.clone())
    }

    /// What was ignored of the deaths whose records have been read.
    pub fn latest(&self) -> IgnoredReading {
        self.lock().reading.clone()
    }

    /// Forgets a group that the kernel was made to forget.
    pub fn forget(&self, key: &GroupKey) {
        self.lock().reading.deaths.remove(key);
    }

    /// For the thread: whether this is a death to be ignored, which is counted here then.
    pub fn take(&self, record: &EventRecord, event: &Event) -> bool {
        let is_death = record.kind == event_kind::DEATH;
        if !is_death
            || !self
                .filters
                .iter()
                .any(|filter| filter.matches_event(event))
        {
            return false;
        }
        let key = record.counted_in();
        let TallyState { reading, kept, .. } = &mut *self.lock();
        let deaths = reading.deaths.entry(key).or_default();
        if let Some(ignored) = deaths.0.get_mut(usize::from(record.record.ending)) {
            *ignored += 1;
            reading.total += 1;
        }
        if let Some(kept) = kept {
            kept.write(&key, deaths);
        }
        true
    }

    /// For the thread: up to where it has read records.
    pub fn position(&self) -> u64 {
        self.positions.as_ref().map_or(0, RingPositions::read)
    }

    /// For the thread: all records that it has read are counted here, but for those from `held` on.
    pub fn advance(&self, held: Option<u64>) {
        if self.positions.is_some() {
            self.lock().position = held.unwrap_or_else(|| self.position());
            self.advanced.notify_all();
        }
    }

    /// For the thread: it ends.
    pub fn end(&self) {
        self.lock().has_ended = true;
        self.advanced.notify_all();
    }

    /// For the thread: what becomes readable when somebody waits.
    pub fn woken(&self) -> impl AsFd {
        &self.wake
    }

    /// For the thread: it is awake.
    pub fn clear_wake(&self) {
        // Nothing there means that nobody waits.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    // The state is valid at every unlock, so poisoning does not matter.
    fn lock(&self) -> MutexGuard<'_, TallyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
