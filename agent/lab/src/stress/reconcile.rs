//! Compares one case's counts with its ledger: the kernel's counters, the agent's counts, and its death
//! records, one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::{
    classify::assessment::{Assessment, Exactness},
    net::end::End,
    observe::{deaths::DeathRecord, exposition::AgentCounts, snmp::Counters},
    stress::{
        case::{Action, ExpectedDeath, StressCase},
        ledger::StressLedger,
    },
};

/// Wrong death records that are reported one by one.
const SHOWN: usize = 3;

/// What was done in one case, and between which addresses.
#[derive(Debug)]
pub(super) struct CaseRecord {
    pub(super) case: &'static StressCase,
    pub(super) ledger: StressLedger,
    pub(super) server: SocketAddr,
    pub(super) client: IpAddr,
}

/// What the agent's counts of resets begin with, whatever the reason.
const RESETS_SENT: &str = "resets_sent{";

/// What the kernel and the agent counted at one of its hosts.
#[derive(Debug)]
pub(super) struct EndCounts<'a> {
    pub(super) end: End,
    /// What its namespace counted.
    pub(super) kernel: Counters,
    /// What the agent counted on its port.
    pub(super) counted: AgentCounts,
    /// The agent's death records of its namespace.
    pub(super) records: Vec<&'a DeathRecord>,
}

impl CaseRecord {
    /// Compares one host.
    pub(super) fn compare(
        &self,
        counts: &EndCounts<'_>,
        exactness: Exactness,
        assessment: &mut Assessment,
    ) {
        self.kernel(counts, assessment);
        self.counts(counts, exactness, assessment);
        self.records(counts, exactness, assessment);
    }

    fn kernel(&self, counts: &EndCounts<'_>, assessment: &mut Assessment) {
        for counter in self.case.fixed() {
            let count = counts.kernel.get(counter);
            let key = format!("{} {counter}", counts.end.direction());
            if let Err(must) = self
                .ledger
                .must(self.case, counts.end, counter)
                .check(count)
            {
                assessment.wrong.push(format!(
                    "{key}: the kernel counted {count}, the ledger says {must}"
                ));
            }
            assessment.kernel.insert(key, count.into());
        }
    }

    fn counts(&self, counts: &EndCounts<'_>, exactness: Exactness, assessment: &mut Assessment) {
        let expected = self.expected(counts);
        let keys = expected.keys().chain(counts.counted.keys());
        for key in keys.collect::<BTreeSet<_>>() {
            let must = expected.get(key).copied().unwrap_or(0);
            let counted = counts.counted.get(key).copied().unwrap_or(0);
            if must == 0 && counted <= self.may(key, &expected, counts) {
                continue;
            }
            assessment.compare_at(counts.end, key, must, counted, exactness);
        }
    }

    /// How much of what depends on the machine may be counted: before a peer falls silent it may answer
    /// window probes, and where packets are late they are sent twice and answered once. An end
    /// that only sends into silence is never answered. A segment that comes twice may be answered by the
    /// listener, with a reset that the kernel counts too.
    fn may(&self, key: &str, expected: &AgentCounts, counts: &EndCounts<'_>) -> u64 {
        match (key, self.case.act) {
            _ if key.starts_with(RESETS_SENT) => {
                let resets = expected
                    .iter()
                    .filter(|(key, _)| key.starts_with(RESETS_SENT));
                let resets: u64 = resets.map(|(_, count)| count).sum();
                counts.kernel.get("OutRsts").saturating_sub(resets)
            }
            ("window_probes_answered" | "recoveries{window_probe}", Action::ZeroWindow) => {
                counts.kernel.get("TCPWinProbe")
            }
            (
                "recoveries{retransmission}",
                Action::ZeroWindow
                | Action::OrderlyClose
                | Action::Linger
                | Action::CloseUnread
                | Action::SendAfterClose
                | Action::SendAfterShutdown
                | Action::Destroy,
            ) => counts.kernel.get("TCPTimeouts"),
            _ => 0,
        }
    }

    /// What the agent must have counted.
    fn expected(&self, counts: &EndCounts<'_>) -> AgentCounts {
        let EndCounts { end, kernel, .. } = counts;
        let mut expected: AgentCounts = [
            ("keepalive_probes", kernel.get("TCPKeepAlive")),
            ("window_probes", kernel.get("TCPWinProbe")),
            ("retransmission_timeouts", kernel.get("TCPTimeouts")),
        ]
        .map(|(key, count)| (key.to_owned(), count))
        .into();
        for (count, part) in self.ledger.parts(self.case, *end) {
            for (key, each) in part.agent {
                *expected.entry((*key).to_owned()).or_default() += count * each;
            }
        }
        for (death, count) in self.ledger.deaths(self.case, *end) {
            *expected
                .entry(format!("deaths{{{}}}", death.cause))
                .or_default() += count;
        }
        expected
    }

    fn records(&self, counts: &EndCounts<'_>, exactness: Exactness, assessment: &mut Assessment) {
        let (mut right, mut wrong) = (BTreeMap::<ExpectedDeath, u64>::new(), Vec::new());
        let mut first = BTreeMap::new();
        for record in &counts.records {
            let ends = (record.local(), record.remote());
            if let Some(number) = first.insert(ends, record.number) {
                wrong.push(format!(
                    "{} is a second one of the same end, after {number}",
                    name(record)
                ));
                continue;
            }
            match self.death(counts.end, record) {
                Ok(death) => *right.entry(death).or_default() += 1,
                Err(why) => wrong.push(format!("{} {why}", name(record))),
            }
        }
        let more = wrong.len().saturating_sub(SHOWN);
        assessment.wrong.extend(wrong.into_iter().take(SHOWN));
        if more > 0 {
            assessment.wrong.push(format!("{more} more certificates"));
        }
        for (death, must) in self.ledger.deaths(self.case, counts.end) {
            let key = format!("certificates{{{}, {}}}", death.cause, death.path);
            let count = right.get(&death).copied().unwrap_or(0);
            assessment.compare_at(counts.end, &key, must, count, exactness);
        }
        self.probes(counts, exactness, assessment);
    }

    /// Where every probing end dies, their death records hold every probe.
    fn probes(&self, counts: &EndCounts<'_>, exactness: Exactness, assessment: &mut Assessment) {
        let sum = |probes: fn(&DeathRecord) -> Option<u64>| -> u64 {
            let all = counts.records.iter();
            all.filter_map(|record| probes(record)).sum()
        };
        let (key, counter, reported) = match self.case.act {
            Action::Keepalive(_) => (
                "keepalive_probes on certificates",
                "TCPKeepAlive",
                sum(|record| record.keepalive_probes),
            ),
            Action::ZeroWindow => (
                "window_probes on certificates",
                "TCPWinProbe",
                sum(|record| record.window_probes),
            ),
            _ => return,
        };
        let must = counts.kernel.get(counter);
        assessment.compare_at(counts.end, key, must, reported, exactness);
    }

    /// How the end died, if the death record says so; else what is wrong with it.
    fn death(&self, end: End, record: &DeathRecord) -> Result<ExpectedDeath, String> {
        let (local, remote) = (record.local(), record.remote());
        let (client, server) = match end {
            End::Client => (local, remote),
            End::Server => (remote, local),
        };
        let ours = server == self.server && client.ip() == self.client;
        let part = ours.then(|| self.ledger.part(self.case, client.port(), end));
        let Some(part) = part.flatten() else {
            return Err("is of a connection that was never made".to_owned());
        };
        if record.direction != end.direction() {
            return Err(format!(
                "says {}, it was {}",
                record.direction,
                end.direction()
            ));
        }
        match part.death {
            Some(death) if (death.cause, death.path) == (&record.cause, &record.path) => Ok(death),
            Some(ExpectedDeath { cause, path }) => Err(format!("is wrong: it was {cause}, {path}")),
            None => Err("is wrong: this end did not die".to_owned()),
        }
    }
}

fn name(record: &DeathRecord) -> String {
    let (local, remote) = (record.local(), record.remote());
    let DeathRecord {
        number,
        cause,
        path,
        ..
    } = record;
    format!("certificate {number} ({local} to {remote}: {cause}, {path})")
}

#[cfg(test)]
mod tests {
    use super::{super::cases::CASES, *};

    const KEEPALIVE: (&str, &str) = ("keepalive", "idle");

    fn case_record() -> CaseRecord {
        let mut ledger = StressLedger::default();
        ledger.record(10_000, End::Client);
        ledger.record(10_001, End::Server);
        ledger.record(10_002, End::Client);
        CaseRecord {
            case: CASES.iter().find(|case| case.name == "keepalive").unwrap(),
            ledger,
            server: "192.0.2.2:8101".parse().unwrap(),
            client: "192.0.2.1".parse().unwrap(),
        }
    }

    fn of(number: u64, death: (&str, &str), port: u16) -> DeathRecord {
        let client = SocketAddr::new(case_record().client, port);
        let mut record = DeathRecord::fixture(death.0, 2).between(client, case_record().server);
        (record.number, record.path) = (number, death.1.to_owned());
        record
    }

    fn check(records: &[DeathRecord], counted: u64, exactness: Exactness, wrong: &[&str]) {
        check_counts(&counts(records, counted), exactness, wrong);
    }

    fn counts(records: &[DeathRecord], counted: u64) -> EndCounts<'_> {
        EndCounts {
            end: End::Client,
            kernel: Counters::from([
                ("TCPKeepAlive", 4),
                ("TCPAbortOnTimeout", 2),
                ("OutRsts", 2),
                ("EstabResets", 2),
            ]),
            counted: [
                ("deaths{keepalive}", counted),
                ("keepalive_probes", 2 * counted),
                ("resets_sent{tcp_keepalive_timeout}", counted),
            ]
            .map(|(key, count)| (key.to_owned(), count))
            .into(),
            records: records.iter().collect(),
        }
    }

    fn check_counts(counts: &EndCounts<'_>, exactness: Exactness, wrong: &[&str]) {
        let mut assessment = Assessment::default();
        case_record().compare(counts, exactness, &mut assessment);
        assert_eq!(
            assessment.wrong.len(),
            wrong.len(),
            "{:?}",
            assessment.wrong
        );
        for (reported, expected) in assessment.wrong.iter().zip(wrong) {
            assert!(reported.contains(expected), "{reported}");
        }
    }

    #[test]
    fn what_was_done_is_right() {
        let right = [of(1, KEEPALIVE, 10_000), of(2, KEEPALIVE, 10_002)];
        check(&right, 2, Exactness::Exact, &[]);
        check(&right, 2, Exactness::NeverOver, &[]);
    }

    #[test]
    fn a_reset_for_no_connection_is_right_if_the_kernel_has_it_too() {
        let right = [of(1, KEEPALIVE, 10_000), of(2, KEEPALIVE, 10_002)];
        let mut counts = counts(&right, 2);
        let stray = "resets_sent{unknown}".to_owned();
        counts.counted.insert(stray, 1);
        let over = ["resets_sent{unknown}: 1 counted, 0 expected"];
        check_counts(&counts, Exactness::Exact, &over);
        counts.kernel = Counters::from([
            ("TCPKeepAlive", 4),
            ("TCPAbortOnTimeout", 2),
            ("OutRsts", 3),
            ("EstabResets", 2),
        ]);
        check_counts(&counts, Exactness::Exact, &[]);
    }

    #[test]
    fn what_is_missing_is_wrong_or_short() {
        let one = [of(1, KEEPALIVE, 10_000)];
        check(&one, 1, Exactness::NeverOver, &[]);
        let wrong = [
            "deaths{keepalive}: 1 counted, 2 expected",
            "keepalive_probes: 2 counted, 4 expected",
            "resets_sent",
            "certificates{keepalive, idle}: 1 counted, 2 expected",
            "probes on certificates: 2 counted, 4 expected",
        ];
        check(&one, 1, Exactness::Exact, &wrong);
    }

    #[test]
    fn certificates_of_others_are_wrong() {
        let second = of(2, KEEPALIVE, 10_002);
        for (other, why) in [
            (
                of(3, KEEPALIVE, 10_000),
                "a second one of the same end, after 1",
            ),
            (of(3, KEEPALIVE, 10_001), "this end did not die"),
            (of(3, KEEPALIVE, 10_003), "never made"),
        ] {
            let all = [of(1, KEEPALIVE, 10_000), second.clone(), other];
            check(
                &all,
                2,
                Exactness::NeverOver,
                &[why, "on certificates: 6 counted, 4"],
            );
        }
        for death in [("unknown", "unseen"), ("keepalive", "data")] {
            let all = [of(1, death, 10_000), second.clone()];
            check(
                &all,
                2,
                Exactness::NeverOver,
                &["is wrong: it was keepalive, idle"],
            );
        }
    }
}
