//! The latest certificates, kept for those who ask later.
//!
//! When there is no room, the owner and cause with most of them gives up its oldest: so that one storm does not
//! push out what happened to everybody else.
//!
//! # Invariants
//! This is no count of deaths: the hooks count them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{death::Cause, event::Event};

/// A certificate and its number, from 1 in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Tells it from all others of one agent.
    pub number: u64,
    /// The death.
    pub event: Arc<Event>,
}

/// Owner, where it is known, and cause.
type Class = (Option<Arc<str>>, Cause);

/// The latest deaths.
#[derive(Debug)]
pub struct Deaths {
    /// By number.
    kept: BTreeMap<u64, Certificate>,
    /// Numbers of those kept, the oldest first.
    classes: BTreeMap<Class, VecDeque<u64>>,
    /// Every class by how many are kept of it and by its oldest: the last has to give.
    sizes: BTreeSet<(usize, Reverse<u64>, Class)>,
    most: usize,
    arrived: u64,
    dropped: BTreeMap<Cause, u64>,
}

/// Certificates of one cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptAndDropped {
    /// Kept.
    pub kept: u64,
    /// Arrived, and no longer kept.
    pub dropped: u64,
}

impl Deaths {
    /// Keeps at most so many.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            kept: BTreeMap::new(),
            classes: BTreeMap::new(),
            sizes: BTreeSet::new(),
            most,
            arrived: 0,
            dropped: BTreeMap::new(),
        }
    }

    /// Takes one more; another makes room where there is none.
    pub fn add(&mut self, event: Arc<Event>) -> Certificate {
        self.arrived += 1;
        let certificate = Certificate {
            number: self.arrived,
            event,
        };
        let class = class(&certificate.event);
        self.change(&class, |numbers| numbers.push_back(certificate.number));
        self.kept.insert(certificate.number, certificate.clone());
        if self.kept.len() > self.most {
            self.drop_one();
        }
        certificate
    }

    fn drop_one(&mut self) {
        let Some((_, _, class)) = self.sizes.last().cloned() else {
            return;
        };
        let mut oldest = None;
        self.change(&class, |numbers| oldest = numbers.pop_front());
        if let Some(oldest) = oldest {
            self.kept.remove(&oldest);
            *self.dropped.entry(class.1).or_default() += 1;
        }
    }

    /// Changes the numbers of a class, and its place among the others.
    fn change(&mut self, class: &Class, change: impl FnOnce(&mut VecDeque<u64>)) {
        let mut numbers = self.classes.remove(class).unwrap_or_default();
        if let Some(oldest) = numbers.front() {
            let place = (numbers.len(), Reverse(*oldest), class.clone());
            self.sizes.remove(&place);
        }
        change(&mut numbers);
        if let Some(oldest) = numbers.front() {
            let place = (numbers.len(), Reverse(*oldest), class.clone());
            self.sizes.insert(place);
            self.classes.insert(class.clone(), numbers);
        }
    }

    /// Those kept with a number above this one, the oldest first.
    pub fn since(&self, number: u64) -> impl DoubleEndedIterator<Item = &Certificate> {
        self.kept
            .range(number.saturating_add(1)..)
            .map(|(_, certificate)| certificate)
    }

    /// How many have arrived, those no longer kept included.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// What is kept of each cause that was met, and what no longer.
    #[must_use]
    pub fn by_cause(&self) -> BTreeMap<Cause, KeptAndDropped> {
        let mut causes: BTreeMap<Cause, KeptAndDropped> = BTreeMap::new();
        for (cause, dropped) in &self.dropped {
            causes.entry(*cause).or_default().dropped = *dropped;
        }
        for ((_, cause), numbers) in &self.classes {
            causes.entry(*cause).or_default().kept += numbers.len() as u64;
        }
        causes
    }
}

fn class(event: &Event) -> Class {
    let cause = event.cause().unwrap_or(Cause::Unknown);
    (event.connection.owner.clone().ok(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        event::{EventKind, fixture::death},
        fixture::Random,
    };

    #[test]
    fn the_oldest_makes_room() {
        let mut deaths = Deaths::new(2);
        for expected in 1..=3 {
            assert_eq!(deaths.add(Arc::new(death())).number, expected);
        }
        let numbers = |deaths: &Deaths, since| -> Vec<u64> {
            deaths.since(since).map(|kept| kept.number).collect()
        };
        assert_eq!(numbers(&deaths, 0), [2, 3]);
        assert_eq!(numbers(&deaths, 2), [3]);
        assert_eq!(numbers(&deaths, 3), [0; 0]);
        assert_eq!(deaths.arrived(), 3);
        let mut none = Deaths::new(0);
        none.add(Arc::new(death()));
        assert_eq!((numbers(&none, 0).len(), none.arrived()), (0, 1));
    }

    fn of(owner: &str, cause: Cause) -> Arc<Event> {
        let mut event = death();
        event.connection.owner = Ok(owner.into());
        if let EventKind::Death(death) = &mut event.kind {
            death.cause = cause;
        }
        Arc::new(event)
    }

    #[test]
    fn a_storm_leaves_room_for_the_rest() {
        let mut deaths = Deaths::new(10);
        for _ in 0..3 {
            deaths.add(of("shop", Cause::Keepalive));
        }
        for _ in 0..1000 {
            deaths.add(of("balancer", Cause::Refused));
        }
        deaths.add(of("balancer", Cause::ResetReceived));
        let numbers: Vec<u64> = deaths.since(0).map(|kept| kept.number).collect();
        assert_eq!(numbers, [1, 2, 3, 998, 999, 1000, 1001, 1002, 1003, 1004]);
        let kept = |kept, dropped| KeptAndDropped { kept, dropped };
        let expected = [
            (Cause::Keepalive, kept(3, 0)),
            (Cause::ResetReceived, kept(1, 0)),
            (Cause::Refused, kept(6, 994)),
        ];
        assert_eq!(deaths.by_cause(), expected.into());
    }

    /// Each class keeps what it has, or as many as an equal share, whatever comes in which order.
    #[test]
    fn no_class_gives_while_another_has_more() {
        let owners = ["a", "b", "c", "d", "e"];
        let mut random = Random::new(1);
        let mut deaths = Deaths::new(50);
        let mut arrived = BTreeMap::<Class, u64>::new();
        for round in 0..5000_u64 {
            // The first owner has nine of ten deaths.
            let owner = owners[usize::try_from(random.below(50))
                .unwrap()
                .saturating_sub(45)];
            let cause = if random.below(2) == 0 {
                Cause::Keepalive
            } else {
                Cause::Refused
            };
            let certificate = deaths.add(of(owner, cause));
            assert_eq!(certificate.number, round + 1);
            *arrived.entry((Some(owner.into()), cause)).or_default() += 1;
            assert_eq!(deaths.since(0).count() as u64, (round + 1).min(50));
        }
        let most = deaths.classes.values().map(VecDeque::len).max().unwrap();
        for (class, arrived) in arrived {
            let kept = deaths.classes[&class].len();
            assert!(
                kept as u64 == arrived || kept + 1 >= most,
                "{class:?} keeps {kept} of {arrived}, another {most}"
            );
        }
        let sums = deaths.by_cause().into_values();
        assert_eq!(sums.map(|sum| sum.kept + sum.dropped).sum::<u64>(), 5000);
    }
}
