//! Events as they arrive: keeps the latest deaths, and passes every event on to the watchers.
//!
//! # Invariants
//! No watcher is waited for: one that falls behind gets the number of events it missed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::lag_counting_broadcast::{Received, Receiver, Sender};
use halfopen_core::model::{
    death::Cause,
    deaths::{Certificate, Deaths, KeptAndDropped},
    event::{Event, EventKind, Listener, Missed},
};

/// Events that a watcher may lag behind: a third of a second at 50,000 events per second.
const CAPACITY: usize = 16_384;

/// Takes events and passes them on; cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<FeedState>);

/// An event; deaths are numbered.
type NumberedEvent = (Arc<Event>, Option<u64>);

struct FeedState {
    deaths: Mutex<Deaths>,
    kept_at_most: usize,
    all: Sender<NumberedEvent>,
    /// Deaths have a buffer of their own, so that other events do not push them out.
    deaths_only: Sender<NumberedEvent>,
    /// Deaths lost before they arrived here.
    lost: AtomicU64,
    /// Watchers of every event.
    watchers: AtomicUsize,
}

/// The kept deaths at one moment.
pub struct KeptDeaths {
    /// Those that were asked for, the oldest first.
    pub certificates: Vec<Certificate>,
    /// Deaths since the agent started, those no longer kept included.
    pub arrived: u64,
    /// How many are kept of each cause, and how many no longer.
    pub by_cause: BTreeMap<Cause, KeptAndDropped>,
}

/// What a watcher receives.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// An event; deaths are numbered.
    Event(Arc<Event>, Option<u64>),
    /// The number of watched events that were dropped before this point.
    Missed(u64),
}

impl Feed {
    /// Keeps at most this number of deaths.
    #[must_use]
    pub fn new(kept_at_most: usize) -> Self {
        Self(Arc::new(FeedState {
            deaths: Mutex::new(Deaths::new(kept_at_most)),
            kept_at_most,
            all: Sender::new(CAPACITY),
            deaths_only: Sender::new(CAPACITY),
            lost: AtomicU64::new(0),
            watchers: AtomicUsize::new(0),
        }))
    }

    /// The kept deaths with a number above `since`.
    #[must_use]
    pub fn deaths(&self, since: u64) -> KeptDeaths {
        let deaths = self.lock();
        KeptDeaths {
            certificates: deaths.since(since).cloned().collect(),
            arrived: deaths.arrived(),
            by_cause: deaths.by_cause(),
        }
    }

    /// The largest number of deaths that are kept.
    #[must_use]
    pub fn kept_at_most(&self) -> usize {
        self.0.kept_at_most
    }

    /// The number of deaths that never arrived here.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Whether anyone watches every event.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) != 0
    }

    /// Starts a watcher of every event, or of deaths only. It first receives the kept deaths with a
    /// number above `since`, if given (0: all that are kept). A number that was never assigned comes from
    /// an earlier agent, and counts as 0.
    #[must_use]
    pub fn watch(&self, all: bool, since: Option<u64>) -> FeedWatcher {
        let deaths = self.lock();
        let live = if all {
            &self.0.all
        } else {
            &self.0.deaths_only
        }
        .subscribe();
        let since = since.map(|since| if since > deaths.arrived() { 0 } else { since });
        let kept: Vec<Certificate> = since
            .into_iter()
            .flat_map(|since| deaths.since(since).cloned())
            .collect();
        let gone = match since {
            Some(since @ 1..) => deaths.arrived() - since - kept.len() as u64,
            _ => 0,
        };
        drop(deaths);
        if all {
            self.0.watchers.fetch_add(1, Ordering::Relaxed);
        }
        FeedWatcher {
            feed: self.clone(),
            all,
            gone,
            kept: kept.into_iter(),
            live,
        }
    }

    // The state is valid at every unlock, so poisoning does not matter.
    fn lock(&self) -> MutexGuard<'_, Deaths> {
        self.0.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Feed {
    fn wants_all(&self) -> bool {
        self.is_watched()
    }

    fn hear(&self, event: Event) {
        let event = Arc::new(event);
        if let EventKind::Death(_) = event.kind {
            let mut deaths = self.lock();
            let number = Some(deaths.add(Arc::clone(&event)).number);
            // Under the lock, so that a new watcher receives it exactly once.
            self.0.deaths_only.send((Arc::clone(&event), number));
            self.0.all.send((event, number));
        } else {
            self.0.all.send((event, None));
        }
    }

    fn missed(&self, missed: Missed) {
        if missed.events > 0 {
            self.0.all.missed(missed.events);
        }
        if missed.deaths > 0 {
            self.0.lost.fetch_add(missed.deaths, Ordering::Relaxed);
            self.0.deaths_only.missed(missed.deaths);
        }
    }
}

/// Receives events from a feed.
pub struct FeedWatcher {
    feed: Feed,
    all: bool,
    /// Requested deaths that are no longer kept.
    gone: u64,
    kept: std::vec::IntoIter<Certificate>,
    live: Receiver<NumberedEvent>,
}

impl FeedWatcher {
    /// The next item; `None` after the last.
    pub async fn next(&mut self) -> Option<FeedItem> {
        match self.next_kept() {
            None => self.live.next().await.map(FeedItem::from),
            kept => kept,
        }
    }

    /// The next item, if it is available without waiting.
    pub fn try_next(&mut self) -> Option<FeedItem> {
        self.next_kept()
            .or_else(|| self.live.try_next().map(FeedItem::from))
    }

    fn next_kept(&mut self) -> Option<FeedItem> {
        if self.gone > 0 {
            return Some(FeedItem::Missed(std::mem::take(&mut self.gone)));
        }
        let kept = self.kept.next()?;
        Some(FeedItem::Event(kept.event, Some(kept.number)))
    }
}

impl From<Received<NumberedEvent>> for FeedItem {
    fn from(got: Received<NumberedEvent>) -> Self {
        match got {
            Received::Value((event, number)) => Self::Event(event, number),
            Received::Missed(events) => Self::Missed(events),
        }
    }
}

impl Drop for FeedWatcher {
    fn drop(&mut self) {
        if self.all {
            self.feed.0.watchers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halfopen_core::model::event::fixture::death;

    fn timeout() -> Event {
        Event {
            kind: EventKind::Timeout,
            ..death()
        }
    }

    fn missed(events: u64, deaths: u64) -> Missed {
        Missed { events, deaths }
    }

    fn received(watcher: &mut FeedWatcher) -> Vec<String> {
        std::iter::from_fn(|| watcher.try_next())
            .map(|item| match item {
                FeedItem::Event(event, number) => format!("{} {number:?}", event.kind.as_str()),
                FeedItem::Missed(events) => format!("missed {events}"),
            })
            .collect()
    }

    #[test]
    fn deaths_are_kept_and_passed_on_once() {
        let feed = Feed::new(2);
        for _ in 0..3 {
            feed.hear(death());
        }
        let mut from_start = feed.watch(false, Some(0));
        let mut from_now = feed.watch(true, None);
        feed.hear(timeout());
        feed.hear(death());
        assert_eq!(
            received(&mut from_start),
            ["death Some(2)", "death Some(3)", "death Some(4)"]
        );
        assert_eq!(received(&mut from_now), ["timeout None", "death Some(4)"]);
        assert_eq!(feed.deaths(0).arrived, 4);
    }

    #[test]
    fn a_reconnecting_watcher_gets_the_number_of_deaths_no_longer_kept() {
        let check = |kept: usize, since, expected: &[&str]| {
            let feed = Feed::new(kept);
            for _ in 0..4 {
                feed.hear(death());
            }
            let mut watcher = feed.watch(false, Some(since));
            assert_eq!(
                received(&mut watcher),
                expected,
                "{kept} kept, since {since}"
            );
        };
        check(2, 0, &["death Some(3)", "death Some(4)"]);
        check(2, 1, &["missed 1", "death Some(3)", "death Some(4)"]);
        check(2, 2, &["death Some(3)", "death Some(4)"]);
        check(2, 4, &[]);
        check(0, 1, &["missed 3"]);
        // A number assigned by another agent.
        check(2, 5, &["death Some(3)", "death Some(4)"]);
    }

    #[test]
    fn a_slow_watcher_gets_the_number_of_events_missed() {
        let feed = Feed::new(0);
        let mut slow = feed.watch(false, None);
        for _ in 0..CAPACITY + 10 {
            feed.hear(death());
        }
        feed.missed(missed(9, 7));
        let first = slow.try_next();
        assert!(matches!(first, Some(FeedItem::Missed(11))), "{first:?}");
        let rest = received(&mut slow);
        assert_eq!(rest.len(), CAPACITY);
        assert_eq!(rest.last().unwrap(), "missed 7");
        assert_eq!(feed.lost(), 7);
    }

    #[test]
    fn other_events_push_no_deaths_out_of_the_buffer() {
        let feed = Feed::new(0);
        let mut deaths = feed.watch(false, None);
        let _all = feed.watch(true, None);
        feed.hear(death());
        for _ in 0..2 * CAPACITY {
            feed.hear(timeout());
        }
        feed.missed(missed(1_000, 0));
        feed.hear(death());
        assert_eq!(received(&mut deaths), ["death Some(1)", "death Some(2)"]);
    }

    #[test]
    fn every_event_is_wanted_while_one_watches_all() {
        let feed = Feed::new(1);
        let deaths_only = feed.watch(false, None);
        assert!(!feed.wants_all());
        let all = feed.watch(true, None);
        assert!(feed.wants_all());
        drop((all, deaths_only));
        assert!(!feed.wants_all());
    }
}
