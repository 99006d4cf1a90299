//! What the generator did, connection by connection: the truth that every account is held against.
//! It must never be written by anyone but the generator, nor before the deed is done.

use std::collections::BTreeMap;

use super::fronts::{Front, Part};
use crate::{judgement::End, scenarios::Figure};

/// Both ends.
pub(super) const ENDS: [End; 2] = [End::Client, End::Server];

/// How an end dies: the names are those of the agent's interface, which one is right is not its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fate {
    /// `cause` of a certificate.
    pub(super) cause: &'static str,
    /// `path` of a certificate.
    pub(super) path: &'static str,
}

impl Fate {
    pub(super) const fn new(cause: &'static str, path: &'static str) -> Self {
        Self { cause, path }
    }
}

/// The connections of one front, by their client's port: which end was to die.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger(BTreeMap<u16, End>);

impl Ledger {
    /// Notes a deed.
    pub(super) fn enter(&mut self, client_port: u16, dying: End) {
        self.0.insert(client_port, dying);
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> u64 {
        self.0.len() as u64
    }

    /// What this end of a connection must show; `None` if there was no such connection.
    pub(super) fn part(&self, front: &Front, client_port: u16, end: End) -> Option<Part> {
        let dying = *self.0.get(&client_port)?;
        Some(if dying == end {
            front.dying
        } else {
            front.other
        })
    }

    /// The two kinds of connections that one host has an end of, and how many of each.
    pub(super) fn parts(&self, front: &Front, end: End) -> [(u64, Part); 2] {
        let dying = self.0.values().filter(|dying| **dying == end).count() as u64;
        [
            (dying, front.dying),
            (self.connections() - dying, front.other),
        ]
    }

    /// What one host's counter must show. A segment that comes after its connection's end is answered by
    /// a reset, which nobody's deed was: of resets sent, the totals alone are exact.
    pub(super) fn must(&self, front: &Front, end: End, counter: &str) -> Figure {
        let (mut sum, mut is_exact) = (0, counter != "OutRsts");
        for (count, part) in self.parts(front, end) {
            match part.kernel.iter().find(|(name, _)| *name == counter) {
                Some((_, Figure::Exactly(each))) => sum += count * each,
                Some((_, Figure::AtLeast(least))) => {
                    sum += count * least;
                    is_exact = false;
                }
                None => {}
            }
        }
        if is_exact {
            Figure::Exactly(sum)
        } else {
            Figure::AtLeast(sum)
        }
    }

    /// How many ends on one host die, and how.
    pub(super) fn fates(&self, front: &Front, end: End) -> BTreeMap<Fate, u64> {
        let mut fates = BTreeMap::new();
        for (count, part) in self.parts(front, end) {
            if let Some(fate) = part.fate.filter(|_| count > 0) {
                *fates.entry(fate).or_default() += count;
            }
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fronts::FRONTS, *};

    #[test]
    fn both_ends_are_accounted_for() {
        let front = FRONTS.iter().find(|front| front.name == "linger").unwrap();
        let mut ledger = Ledger::default();
        for (port, dying) in [(1, End::Client), (2, End::Server), (3, End::Client)] {
            ledger.enter(port, dying);
        }
        let sent = Fate::new("reset_sent", "reset_sent");
        let received = Fate::new("reset_received", "reset_received");
        assert_eq!(
            ledger.fates(front, End::Client),
            BTreeMap::from([(sent, 2), (received, 1)])
        );
        assert_eq!(
            ledger.fates(front, End::Server),
            BTreeMap::from([(sent, 1), (received, 2)])
        );
        let fate = |port, end| ledger.part(front, port, end).map(|part| part.fate);
        assert_eq!(fate(2, End::Client), Some(Some(received)));
        assert_eq!(fate(4, End::Client), None);
    }
}
