//! Holds one front's accounts against its ledger: the kernel's counters, the agent's counts, and its
//! certificates, one by one.
//! It must never excuse a count that is too high, nor a certificate that is of another end or cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::{
    fronts::{Act, Front},
    ledger::{Fate, Ledger},
};
use crate::{
    Counters,
    certificates::Certificate,
    exposition::Counted,
    judge::{Policy, Verdict},
    judgement::End,
    scenarios::Figure,
};

/// Wrong certificates that are told one by one.
const TOLD: usize = 3;

/// What was done in one front, and between which addresses.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) front: &'static Front,
    pub(super) ledger: Ledger,
    pub(super) server: SocketAddr,
    pub(super) client: IpAddr,
}

/// What others say of one of its hosts.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) end: End,
    /// What its namespace counted.
    pub(super) kernel: Counters,
    /// What the agent counted on its port.
    pub(super) counted: Counted,
    /// The agent's certificates of its namespace.
    pub(super) certificates: Vec<&'a Certificate>,
}

impl Books {
    /// Judges one host.
    pub(super) fn judge(&self, account: &Account<'_>, policy: Policy, verdict: &mut Verdict) {
        self.kernel(account, verdict);
        self.counts(account, policy, verdict);
        self.certificates(account, policy, verdict);
    }

    fn kernel(&self, account: &Account<'_>, verdict: &mut Verdict) {
        for counter in self.front.fixed() {
            let count = account.kernel.get(counter);
            let key = format!("{} {counter}", account.end.direction());
            let (is_right, must) = match self.ledger.must(self.front, account.end, counter) {
                Figure::Exactly(exact) => (count == exact, exact.to_string()),
                Figure::AtLeast(least) => (count >= least, format!("at least {least}")),
            };
            if !is_right {
                verdict.wrong.push(format!(
                    "{key}: the kernel counted {count}, the ledger says {must}"
                ));
            }
            verdict.kernel.insert(key, count.into());
        }
    }

    fn counts(&self, account: &Account<'_>, policy: Policy, verdict: &mut Verdict) {
        let expected = self.expected(account);
        let keys = expected.keys().chain(account.counted.keys());
        for key in keys.collect::<BTreeSet<_>>() {
            let must = expected.get(key).copied().unwrap_or(0);
            let counted = account.counted.get(key).copied().unwrap_or(0);
            if must == 0 && counted <= self.may(key, account) {
                continue;
            }
            note(verdict, account.end, key, must, counted, policy);
        }
    }

    /// How much of what depends on the machine may be counted: before a peer falls silent it may answer
    /// window probes, and where packets are late they are sent twice and answered once. No end that
    /// speaks into silence alone is ever answered.
    fn may(&self, key: &str, account: &Account<'_>) -> u64 {
        match (key, self.front.act) {
            ("window_probes_answered" | "recoveries{window_probe}", Act::Fill) => {
                account.kernel.get("TCPWinProbe")
            }
            (
                "recoveries{retransmission}",
                Act::Fill | Act::Close | Act::Linger | Act::Unread | Act::Kill,
            ) => account.kernel.get("TCPTimeouts"),
            _ => 0,
        }
    }

    /// What the agent must have counted.
    fn expected(&self, account: &Account<'_>) -> Counted {
        let Account { end, kernel, .. } = account;
        // SYN-ACKs are the listener's: their timeouts are no connection's.
        let listeners = match (end, self.front.act) {
            (End::Client, _) => 0,
            (End::Server, Act::HalfHeard) => kernel.get("TCPTimeouts"),
            (End::Server, _) => kernel.get("TCPSynRetrans"),
        };
        let mut expected: Counted = [
            ("keepalive_probes", kernel.get("TCPKeepAlive")),
            ("window_probes", kernel.get("TCPWinProbe")),
            (
                "retransmission_timeouts",
                kernel.get("TCPTimeouts").saturating_sub(listeners),
            ),
        ]
        .map(|(key, count)| (key.to_owned(), count))
        .into();
        for (count, part) in self.ledger.parts(self.front, *end) {
            for (key, each) in part.agent {
                *expected.entry((*key).to_owned()).or_default() += count * each;
            }
        }
        for (fate, count) in self.ledger.fates(self.front, *end) {
            *expected
                .entry(format!("deaths{{{}}}", fate.cause))
                .or_default() += count;
        }
        expected
    }

    fn certificates(&self, account: &Account<'_>, policy: Policy, verdict: &mut Verdict) {
        let (mut right, mut wrong) = (BTreeMap::<Fate, u64>::new(), Vec::new());
        let mut first = BTreeMap::new();
        for certificate in &account.certificates {
            let ends = (certificate.local(), certificate.remote());
            if let Some(number) = first.insert(ends, certificate.number) {
                wrong.push(format!(
                    "{} is a second one of the same end, after {number}",
                    name(certificate)
                ));
                continue;
            }
            match self.fate(account.end, certificate) {
                Ok(fate) => *right.entry(fate).or_default() += 1,
                Err(why) => wrong.push(format!("{} {why}", name(certificate))),
            }
        }
        let more = wrong.len().saturating_sub(TOLD);
        verdict.wrong.extend(wrong.into_iter().take(TOLD));
        if more > 0 {
            verdict.wrong.push(format!("{more} more certificates"));
        }
        for (fate, must) in self.ledger.fates(self.front, account.end) {
            let key = format!("certificates{{{}, {}}}", fate.cause, fate.path);
            let count = right.get(&fate).copied().unwrap_or(0);
            note(verdict, account.end, &key, must, count, policy);
        }
        self.probes(account, policy, verdict);
    }

    /// Where all that probe die, their certificates tell every probe.
    fn probes(&self, account: &Account<'_>, policy: Policy, verdict: &mut Verdict) {
        let sum = |probes: fn(&Certificate) -> Option<u64>| -> u64 {
            let all = account.certificates.iter();
            all.filter_map(|certificate| probes(certificate)).sum()
        };
        let (key, counter, told) = match self.front.act {
            Act::Guard(_) => (
                "keepalive_probes on certificates",
                "TCPKeepAlive",
                sum(|certificate| certificate.keepalive_probes),
            ),
            Act::Fill => (
                "window_probes on certificates",
                "TCPWinProbe",
                sum(|certificate| certificate.window_probes),
            ),
            _ => return,
        };
        let must = account.kernel.get(counter);
        note(verdict, account.end, key, must, told, policy);
    }

    /// How the end died, if the certificate says so; else what is wrong with it.
    fn fate(&self, end: End, certificate: &Certificate) -> Result<Fate, String> {
        let (local, remote) = (certificate.local(), certificate.remote());
        let (client, server) = match end {
            End::Client => (local, remote),
            End::Server => (remote, local),
        };
        let ours = server == self.server && client.ip() == self.client;
        let part = ours.then(|| self.ledger.part(self.front, client.port(), end));
        let Some(part) = part.flatten() else {
            return Err("is of a connection that was never made".to_owned());
        };
        if certificate.direction != end.direction() {
            return Err(format!(
                "says {}, it was {}",
                certificate.direction,
                end.direction()
            ));
        }
        match part.fate {
            Some(fate) if (fate.cause, fate.path) == (&certificate.cause, &certificate.path) => {
                Ok(fate)
            }
            Some(Fate { cause, path }) => Err(format!("is wrong: it was {cause}, {path}")),
            None => Err("is wrong: this end did not die".to_owned()),
        }
    }
}

/// Compares one figure and notes it.
pub(super) fn note(
    verdict: &mut Verdict,
    end: End,
    key: &str,
    must: u64,
    counted: u64,
    policy: Policy,
) {
    let key = format!("{} {key}", end.direction());
    verdict.compare(&key, must, counted, policy);
    verdict.expected.insert(key.clone(), must.into());
    verdict.counted.insert(key, counted.into());
}

fn name(certificate: &Certificate) -> String {
    let (local, remote) = (certificate.local(), certificate.remote());
    let Certificate {
        number,
        cause,
        path,
        ..
    } = certificate;
    format!("certificate {number} ({local} to {remote}: {cause}, {path})")
}

#[cfg(test)]
mod tests {
    use super::{super::fronts::FRONTS, *};

    const KEEPALIVE: (&str, &str) = ("keepalive", "idle");

    fn books() -> Books {
        let mut ledger = Ledger::default();
        ledger.enter(10_000, End::Client);
        ledger.enter(10_001, End::Server);
        ledger.enter(10_002, End::Client);
        Books {
            front: FRONTS
                .iter()
                .find(|front| front.name == "keepalive")
                .unwrap(),
            ledger,
            server: "192.0.2.2:8101".parse().unwrap(),
            client: "192.0.2.1".parse().unwrap(),
        }
    }

    fn of(number: u64, fate: (&str, &str), port: u16) -> Certificate {
        let client = SocketAddr::new(books().client, port);
        let mut certificate = Certificate::fixture(fate.0, 2).between(client, books().server);
        (certificate.number, certificate.path) = (number, fate.1.to_owned());
        certificate
    }

    fn check(certificates: &[Certificate], counted: u64, policy: Policy, wrong: &[&str]) {
        let account = Account {
            end: End::Client,
            kernel: Counters::of(&[
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
            certificates: certificates.iter().collect(),
        };
        let mut verdict = Verdict::default();
        books().judge(&account, policy, &mut verdict);
        assert_eq!(verdict.wrong.len(), wrong.len(), "{:?}", verdict.wrong);
        for (told, expected) in verdict.wrong.iter().zip(wrong) {
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn what_was_done_is_right() {
        let right = [of(1, KEEPALIVE, 10_000), of(2, KEEPALIVE, 10_002)];
        check(&right, 2, Policy::Exact, &[]);
        check(&right, 2, Policy::NeverOver, &[]);
    }

    #[test]
    fn what_is_missing_is_wrong_or_short() {
        let one = [of(1, KEEPALIVE, 10_000)];
        check(&one, 1, Policy::NeverOver, &[]);
        let wrong = [
            "deaths{keepalive}: 1 counted, 2 expected",
            "keepalive_probes: 2 counted, 4 expected",
            "resets_sent",
            "certificates{keepalive, idle}: 1 counted, 2 expected",
            "probes on certificates: 2 counted, 4 expected",
        ];
        check(&one, 1, Policy::Exact, &wrong);
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
                Policy::NeverOver,
                &[why, "on certificates: 6 counted, 4"],
            );
        }
        for fate in [("unknown", "unseen"), ("keepalive", "data")] {
            let all = [of(1, fate, 10_000), second.clone()];
            check(
                &all,
                2,
                Policy::NeverOver,
                &["is wrong: it was keepalive, idle"],
            );
        }
    }
}
