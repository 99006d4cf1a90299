//! The latest certificates, kept for those who ask later.
//!
//! # Invariants
//! This is no count of deaths: the hooks count them.

use std::{collections::VecDeque, sync::Arc};

use super::event::Event;

/// A certificate and its number, from 1 in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Tells it from all others of one agent.
    pub number: u64,
    /// The death.
    pub event: Arc<Event>,
}

/// The latest deaths.
#[derive(Debug, Clone)]
pub struct Deaths {
    kept: VecDeque<Certificate>,
    most: usize,
    arrived: u64,
}

impl Deaths {
    /// Keeps at most so many.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            most,
            arrived: 0,
        }
    }

    /// Takes one more; the oldest makes room.
    pub fn add(&mut self, event: Arc<Event>) -> Certificate {
        self.arrived += 1;
        let certificate = Certificate {
            number: self.arrived,
            event,
        };
        if self.most > 0 {
            if self.kept.len() >= self.most {
                self.kept.pop_front();
            }
            self.kept.push_back(certificate.clone());
        }
        certificate
    }

    /// Those kept with a number above this one, the oldest first.
    pub fn since(&self, number: u64) -> impl DoubleEndedIterator<Item = &Certificate> {
        let first = self
            .kept
            .partition_point(|certificate| certificate.number <= number);
        self.kept.range(first..)
    }

    /// How many have arrived, those no longer kept included.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::fixture::death;

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
}
