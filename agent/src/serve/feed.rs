//! Events as they arrive: the latest certificates kept, and everything passed on to those who watch.
//! It must never wait for a watcher: one that falls behind is told how many it missed.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::lossy::{self, Got};
use halfopen_core::model::{
    deaths::{Certificate, Deaths},
    event::{Event, Listener, Missed, What},
};

/// Events that a watcher may be behind: a third of a second at 50,000 events a second.
const BEHIND: usize = 16_384;

/// Takes events and passes them on; cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

/// An event; a death's certificate has a number.
type Told = (Arc<Event>, Option<u64>);

struct Shared {
    deaths: Mutex<Deaths>,
    kept_at_most: usize,
    all: lossy::Sender<Told>,
    /// Deaths apart: whoever watches them alone must not lose them to a flood of others.
    deaths_alone: lossy::Sender<Told>,
    /// Certificates that were lost before they came here.
    lost: AtomicU64,
    /// Those who want every event.
    watchers: AtomicUsize,
}

/// What a watcher hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// An event; a death's certificate has a number.
    Event(Arc<Event>, Option<u64>),
    /// So many events of those that it watches were dropped on the way.
    Missed(u64),
}

impl Feed {
    /// Keeps at most so many certificates.
    #[must_use]
    pub fn new(kept_at_most: usize) -> Self {
        Self(Arc::new(Shared {
            deaths: Mutex::new(Deaths::new(kept_at_most)),
            kept_at_most,
            all: lossy::Sender::new(BEHIND),
            deaths_alone: lossy::Sender::new(BEHIND),
            lost: AtomicU64::new(0),
            watchers: AtomicUsize::new(0),
        }))
    }

    /// The kept certificates.
    #[must_use]
    pub fn deaths(&self) -> Deaths {
        self.lock().clone()
    }

    /// How many certificates are kept at most.
    #[must_use]
    pub fn kept_at_most(&self) -> usize {
        self.0.kept_at_most
    }

    /// How many certificates never came here.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Whether somebody wants every event.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) != 0
    }

    /// Begins to listen: to every event or to deaths alone, first to the kept certificates with a
    /// number above `since`, where one is given: 0 for all that are kept. One who knows a number that
    /// was never given knows it from an agent before this one.
    #[must_use]
    pub fn watch(&self, all: bool, since: Option<u64>) -> Watcher {
        let deaths = self.lock();
        let live = if all {
            &self.0.all
        } else {
            &self.0.deaths_alone
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
        Watcher {
            feed: self.clone(),
            all,
            gone,
            kept: kept.into_iter(),
            live,
        }
    }

    // The state is valid at every unlock, whoever panicked.
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
        if let What::Death(_) = event.what {
            let mut deaths = self.lock();
            let number = Some(deaths.add(Arc::clone(&event)).number);
            // Under the lock: whoever begins to watch now has it once.
            self.0.deaths_alone.send((Arc::clone(&event), number));
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
            self.0.deaths_alone.missed(missed.deaths);
        }
    }
}

/// One who listens.
pub struct Watcher {
    feed: Feed,
    all: bool,
    /// Certificates asked for that are no longer kept.
    gone: u64,
    kept: std::vec::IntoIter<Certificate>,
    live: lossy::Receiver<Told>,
}

impl Watcher {
    /// The next; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.next_kept() {
            None => self.live.next().await.map(Heard::from),
            kept => kept,
        }
    }

    /// The next if it is there already.
    pub fn next_at_hand(&mut self) -> Option<Heard> {
        self.next_kept()
            .or_else(|| self.live.next_at_hand().map(Heard::from))
    }

    fn next_kept(&mut self) -> Option<Heard> {
        if self.gone > 0 {
            return Some(Heard::Missed(std::mem::take(&mut self.gone)));
        }
        let kept = self.kept.next()?;
        Some(Heard::Event(kept.event, Some(kept.number)))
    }
}

impl From<Got<Told>> for Heard {
    fn from(got: Got<Told>) -> Self {
        match got {
            Got::Value((event, number)) => Self::Event(event, number),
            Got::Missed(events) => Self::Missed(events),
        }
    }
}

impl Drop for Watcher {
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
            what: What::Timeout,
            ..death()
        }
    }

    fn missed(events: u64, deaths: u64) -> Missed {
        Missed { events, deaths }
    }

    fn heard(watcher: &mut Watcher) -> Vec<String> {
        std::iter::from_fn(|| watcher.next_at_hand())
            .map(|heard| match heard {
                Heard::Event(event, number) => format!("{} {number:?}", event.what.as_str()),
                Heard::Missed(events) => format!("missed {events}"),
            })
            .collect()
    }

    #[test]
    fn certificates_are_kept_and_passed_on_once() {
        let feed = Feed::new(2);
        for _ in 0..3 {
            feed.hear(death());
        }
        let mut from_start = feed.watch(false, Some(0));
        let mut from_now = feed.watch(true, None);
        feed.hear(timeout());
        feed.hear(death());
        assert_eq!(
            heard(&mut from_start),
            ["death Some(2)", "death Some(3)", "death Some(4)"]
        );
        assert_eq!(heard(&mut from_now), ["timeout None", "death Some(4)"]);
        assert_eq!(feed.deaths().arrived(), 4);
    }

    #[test]
    fn one_who_comes_again_is_told_what_is_gone() {
        let check = |kept: usize, since, expected: &[&str]| {
            let feed = Feed::new(kept);
            for _ in 0..4 {
                feed.hear(death());
            }
            let mut watcher = feed.watch(false, Some(since));
            assert_eq!(heard(&mut watcher), expected, "{kept} kept, since {since}");
        };
        check(2, 0, &["death Some(3)", "death Some(4)"]);
        check(2, 1, &["missed 1", "death Some(3)", "death Some(4)"]);
        check(2, 2, &["death Some(3)", "death Some(4)"]);
        check(2, 4, &[]);
        check(0, 1, &["missed 3"]);
        // Another agent's number.
        check(2, 5, &["death Some(3)", "death Some(4)"]);
    }

    #[test]
    fn one_who_falls_behind_is_told_how_far() {
        let feed = Feed::new(0);
        let mut slow = feed.watch(false, None);
        for _ in 0..BEHIND + 10 {
            feed.hear(death());
        }
        feed.missed(missed(9, 7));
        let first = slow.next_at_hand();
        assert!(matches!(first, Some(Heard::Missed(11))), "{first:?}");
        let rest = heard(&mut slow);
        assert_eq!(rest.len(), BEHIND);
        assert_eq!(rest.last().unwrap(), "missed 7");
        assert_eq!(feed.lost(), 7);
    }

    #[test]
    fn a_flood_of_other_events_takes_no_death_from_who_watches_deaths_alone() {
        let feed = Feed::new(0);
        let mut deaths = feed.watch(false, None);
        let _all = feed.watch(true, None);
        feed.hear(death());
        for _ in 0..2 * BEHIND {
            feed.hear(timeout());
        }
        feed.missed(missed(1_000, 0));
        feed.hear(death());
        assert_eq!(heard(&mut deaths), ["death Some(1)", "death Some(2)"]);
    }

    #[test]
    fn every_event_is_wanted_while_somebody_watches_all() {
        let feed = Feed::new(1);
        let deaths_only = feed.watch(false, None);
        assert!(!feed.wants_all());
        let all = feed.watch(true, None);
        assert!(feed.wants_all());
        drop((all, deaths_only));
        assert!(!feed.wants_all());
    }
}
