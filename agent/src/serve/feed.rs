//! Events as they arrive: the latest certificates kept, and everything passed on to those who watch.
//! It must never wait for a watcher: one that falls behind is told how many it missed.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::model::{
    deaths::{Certificate, Deaths},
    event::{Event, Listener, What},
};

/// Events that a watcher may be behind: a third of a second at 50,000 events a second.
const BEHIND: usize = 16_384;

/// Takes events and passes them on; cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    deaths: Mutex<Deaths>,
    kept_at_most: usize,
    live: broadcast::Sender<Heard>,
    /// Those who want every event.
    watchers: AtomicUsize,
}

/// What a watcher hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// An event; a death's certificate has a number.
    Event(Arc<Event>, Option<u64>),
    /// So many events were dropped on the way.
    Missed(u64),
}

impl Feed {
    /// Keeps at most so many certificates.
    #[must_use]
    pub fn new(kept_at_most: usize) -> Self {
        Self(Arc::new(Shared {
            deaths: Mutex::new(Deaths::new(kept_at_most)),
            kept_at_most,
            live: broadcast::Sender::new(BEHIND),
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

    /// Whether somebody wants every event.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) != 0
    }

    /// Begins to listen: to every event or to deaths alone, first to the kept certificates with a
    /// number above `since`, where one is given.
    #[must_use]
    pub fn watch(&self, all: bool, since: Option<u64>) -> Watcher {
        let deaths = self.lock();
        let live = self.0.live.subscribe();
        let kept: Vec<Certificate> = since
            .into_iter()
            .flat_map(|since| deaths.since(since).cloned())
            .collect();
        drop(deaths);
        if all {
            self.0.watchers.fetch_add(1, Ordering::Relaxed);
        }
        Watcher {
            feed: self.clone(),
            all,
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
            let number = deaths.add(Arc::clone(&event)).number;
            // Under the lock: whoever begins to watch now has it once. Without watchers it is refused.
            drop(self.0.live.send(Heard::Event(event, Some(number))));
        } else {
            drop(self.0.live.send(Heard::Event(event, None)));
        }
    }

    fn missed(&self, events: u64) {
        drop(self.0.live.send(Heard::Missed(events)));
    }
}

/// One who listens.
pub struct Watcher {
    feed: Feed,
    all: bool,
    kept: std::vec::IntoIter<Certificate>,
    live: broadcast::Receiver<Heard>,
}

impl Watcher {
    /// The next; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Heard> {
        if let Some(kept) = self.next_kept() {
            return Some(kept);
        }
        loop {
            let received = self.live.recv().await;
            match received {
                Ok(heard) if self.wants(&heard) => return Some(heard),
                Ok(_) => {}
                Err(RecvError::Lagged(events)) => return Some(Heard::Missed(events)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next if it is there already.
    pub fn next_at_hand(&mut self) -> Option<Heard> {
        if let Some(kept) = self.next_kept() {
            return Some(kept);
        }
        loop {
            match self.live.try_recv() {
                Ok(heard) if self.wants(&heard) => return Some(heard),
                Ok(_) => {}
                Err(TryRecvError::Lagged(events)) => return Some(Heard::Missed(events)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    fn next_kept(&mut self) -> Option<Heard> {
        let kept = self.kept.next()?;
        Some(Heard::Event(kept.event, Some(kept.number)))
    }

    const fn wants(&self, heard: &Heard) -> bool {
        match heard {
            Heard::Event(_, number) => self.all || number.is_some(),
            Heard::Missed(_) => true,
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
    use crate::model::event::fixture::death;

    fn timeout() -> Event {
        Event {
            what: What::Timeout,
            ..death()
        }
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
    fn one_who_falls_behind_is_told_how_far() {
        let feed = Feed::new(0);
        let mut slow = feed.watch(false, None);
        for _ in 0..BEHIND + 10 {
            feed.hear(death());
        }
        feed.missed(7);
        let first = slow.next_at_hand();
        assert!(matches!(first, Some(Heard::Missed(11))), "{first:?}");
        let rest = heard(&mut slow);
        assert_eq!(rest.len(), BEHIND);
        assert_eq!(rest.last().unwrap(), "missed 7");
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
