//! What the generator did, connection by connection: what every count is compared with.

use std::collections::BTreeMap;

use crate::{
    classify::expectations::KernelFigure,
    net::end::End,
    stress::case::{EndExpectation, ExpectedDeath, StressCase},
};

/// The connections of one case, by their client's port: which end was to die.
#[derive(Debug, Default, Clone)]
pub(super) struct StressLedger(BTreeMap<u16, End>);

impl StressLedger {
    /// Notes what was done.
    pub(super) fn record(&mut self, client_port: u16, dying: End) {
        self.0.insert(client_port, dying);
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> u64 {
        self.0.len() as u64
    }

    /// What this end of a connection must show; `None` if there was no such connection.
    pub(super) fn part(
        &self,
        case: &StressCase,
        client_port: u16,
        end: End,
    ) -> Option<EndExpectation> {
        let dying = *self.0.get(&client_port)?;
        Some(if dying == end { case.dying } else { case.other })
    }

    /// The two kinds of connections that one host has an end of, and how many of each.
    pub(super) fn parts(&self, case: &StressCase, end: End) -> [(u64, EndExpectation); 2] {
        let dying = self.0.values().filter(|dying| **dying == end).count() as u64;
        [
            (dying, case.dying),
            (self.connections() - dying, case.other),
        ]
    }

    /// What one host's counter must show. A segment that comes after its connection's end is answered by
    /// a reset, which no action sent: of resets sent, the totals alone are exact.
    pub(super) fn must(&self, case: &StressCase, end: End, counter: &str) -> KernelFigure {
        let (mut sum, mut is_exact) = (0, counter != "OutRsts");
        for (count, part) in self.parts(case, end) {
            match part.kernel.iter().find(|(name, _)| *name == counter) {
                Some((_, KernelFigure::Exactly(each))) => sum += count * each,
                Some((_, KernelFigure::AtLeast(least))) => {
                    sum += count * least;
                    is_exact = false;
                }
                None => {}
            }
        }
        if is_exact {
            KernelFigure::Exactly(sum)
        } else {
            KernelFigure::AtLeast(sum)
        }
    }

    /// How many ends on one host die, and how.
    pub(super) fn deaths(&self, case: &StressCase, end: End) -> BTreeMap<ExpectedDeath, u64> {
        let mut deaths = BTreeMap::new();
        for (count, part) in self.parts(case, end) {
            if let Some(death) = part.death.filter(|_| count > 0) {
                *deaths.entry(death).or_default() += count;
            }
        }
        deaths
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cases::CASES, *};

    #[test]
    fn both_ends_are_accounted_for() {
        let case = CASES.iter().find(|case| case.name == "linger").unwrap();
        let mut ledger = StressLedger::default();
        for (port, dying) in [(1, End::Client), (2, End::Server), (3, End::Client)] {
            ledger.record(port, dying);
        }
        let sent = ExpectedDeath::new("reset_sent", "reset_sent");
        let received = ExpectedDeath::new("reset_received", "reset_received");
        assert_eq!(
            ledger.deaths(case, End::Client),
            BTreeMap::from([(sent, 2), (received, 1)])
        );
        assert_eq!(
            ledger.deaths(case, End::Server),
            BTreeMap::from([(sent, 1), (received, 2)])
        );
        let death = |port, end| ledger.part(case, port, end).map(|part| part.death);
        assert_eq!(death(2, End::Client), Some(Some(received)));
        assert_eq!(death(4, End::Client), None);
    }
}
