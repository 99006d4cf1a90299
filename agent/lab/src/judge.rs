//! Compares what a scenario must give with what the kernel and the agent counted.
//! It must never excuse a count that is too high.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Counters,
    certificates::Certificate,
    exposition::Counted,
    judgement::{self, Seen, Thresholds},
    scenarios::{Count, Figure, JUDGED, Scenario, Side},
};

/// Stands in place of a figure that nothing but the agent fixes.
pub(crate) const OPEN: &str = "any";

/// How exact the agent must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every count is right.
    Exact,
    /// No count is too high; what is missing is accounted for.
    NeverOver,
}

/// What is known of one side of a connection.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// What its namespace counted.
    pub kernel: Counters,
    /// What the agent counted.
    pub agent: Counted,
    /// What the agent certified.
    pub certificates: Vec<Certificate>,
}

impl Account {
    /// A cause that this mechanism cannot tell, told as unknown, counts for the one that is expected.
    fn with_cause(mut self, scenario: &Scenario) -> Self {
        let keys = scenario.client.agent.iter().map(|(key, _)| *key);
        let Some((key, cause)) = keys.filter_map(|key| Some((key, cause_of(key)?))).next() else {
            return self;
        };
        if let Some(unknown) = self.agent.remove("deaths{unknown}") {
            *self.agent.entry(key.to_owned()).or_default() += unknown;
        }
        for certificate in &mut self.certificates {
            if certificate.cause == "unknown" {
                cause.clone_into(&mut certificate.cause);
            }
        }
        self
    }
}

/// What the comparison gave.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What the agent must have counted; a text where the figure is not fixed beforehand.
    pub expected: BTreeMap<String, Value>,
    /// What it counted.
    pub counted: BTreeMap<String, Value>,
    /// What the kernel counted.
    pub kernel: BTreeMap<String, Value>,
    /// How it judged the connection meanwhile.
    pub judged: Vec<Seen>,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What is missing but may be.
    pub short: Vec<String>,
}

impl Verdict {
    /// Compares the agent's judgements with those that the table demands.
    pub(crate) fn judged(&mut self, scenario: &Scenario, seen: Vec<Seen>, thresholds: Thresholds) {
        let wrong = judgement::compare(scenario.judged, &seen, thresholds);
        self.wrong.extend(wrong);
        self.judged = seen;
    }

    /// Compares one figure of the agent.
    pub(crate) fn compare(&mut self, key: &str, expected: u64, counted: u64, policy: Policy) {
        if counted < expected && policy == Policy::NeverOver {
            let missing = expected - counted;
            self.short.push(format!(
                "{key}: {counted} of {expected}, {missing} unaccounted"
            ));
        } else if counted != expected {
            self.wrong
                .push(format!("{key}: {counted} counted, {expected} expected"));
        }
    }
}

/// Judges one scenario's kernel counters alone.
#[must_use]
pub fn kernel(scenario: &Scenario, counters: &[Counters; 2]) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, side, counters) in [
        ("outbound", &scenario.client, &counters[0]),
        ("inbound", &scenario.server, &counters[1]),
    ] {
        let unnamed = JUDGED
            .iter()
            .filter(|name| side.kernel.iter().all(|(named, _)| named != *name));
        let zero = unnamed.map(|name| (*name, Figure::Exactly(0)));
        for (counter, figure) in zero.chain(side.kernel.iter().copied()) {
            let count = counters.get(counter);
            let key = format!("{name} {counter}");
            let (right, must) = match figure {
                Figure::Exactly(exact) => (count == exact, exact.to_string()),
                Figure::AtLeast(least) => (count >= least, format!("at least {least}")),
            };
            if !right {
                verdict.wrong.push(format!(
                    "{key}: the kernel counted {count}, the table says {must}"
                ));
            }
            verdict.kernel.insert(key, count.into());
        }
    }
    verdict
}

/// The kernel notes in jiffies when it heard a peer, and where a machine is emulated these may fall
/// behind the clock that ages are taken from.
const COARSE_MS: u64 = 500;

/// Expectations put in place of the table's, by side and key: to see that a wrong one is noticed.
pub type Falsified = BTreeMap<String, u64>;

/// Judges one scenario, the client's account first.
#[must_use]
pub fn judge(
    scenario: &Scenario,
    accounts: &[Account; 2],
    policy: Policy,
    falsified: &Falsified,
) -> Verdict {
    let mut verdict = kernel(
        scenario,
        &[accounts[0].kernel.clone(), accounts[1].kernel.clone()],
    );
    let accounts = if policy == Policy::NeverOver && scenario.is_told_by_functions_alone() {
        &accounts.clone().map(|account| account.with_cause(scenario))
    } else {
        accounts
    };
    for (name, side, account) in [
        ("outbound", &scenario.client, &accounts[0]),
        ("inbound", &scenario.server, &accounts[1]),
    ] {
        let expected = expectations(side);
        let keys: BTreeSet<&str> = expected
            .keys()
            .copied()
            .chain(account.agent.keys().map(String::as_str))
            .chain(
                falsified
                    .keys()
                    .filter_map(|key| key.strip_prefix(name)?.strip_prefix(' ')),
            )
            .collect();
        for key in keys {
            let counted = account.agent.get(key).copied().unwrap_or(0);
            let named = format!("{name} {key}");
            verdict.counted.insert(named.clone(), counted.into());
            let told = falsified.get(&named).copied().map(Count::Exactly);
            let from_table = expected
                .get(key)
                .copied()
                .unwrap_or_else(|| unnamed(key, account));
            let must: Value = match told.unwrap_or(from_table) {
                Count::Exactly(exact) => {
                    verdict.compare(&named, exact, counted, policy);
                    exact.into()
                }
                Count::Kernel(counter) => {
                    let exact = account.kernel.get(counter);
                    verdict.compare(&named, exact, counted, policy);
                    // What the kernel leaves at 0 says nothing in a report.
                    if exact == 0 {
                        0.into()
                    } else {
                        format!("={counter}").into()
                    }
                }
                Count::Open => OPEN.into(),
            };
            verdict.expected.insert(named, must);
        }
        certified(&mut verdict, scenario, (name, side), account, policy);
    }
    verdict
}

/// A death is certified once, with the cause it is counted under, and with the probes that the kernel
/// counted.
fn certified(
    verdict: &mut Verdict,
    scenario: &Scenario,
    (name, side): (&str, &Side),
    account: &Account,
    policy: Policy,
) {
    let mut causes: BTreeMap<String, u64> = BTreeMap::new();
    for certificate in &account.certificates {
        *causes.entry(certificate.cause.clone()).or_default() += 1;
    }
    for (key, count) in side.agent {
        if let (Some(cause), Count::Exactly(exact)) = (cause_of(key), count) {
            let certified = causes.remove(cause).unwrap_or(0);
            verdict.compare(
                &format!("{name} certificates{{{cause}}}"),
                *exact,
                certified,
                policy,
            );
        }
    }
    for (cause, certified) in causes {
        verdict.compare(
            &format!("{name} certificates{{{cause}}}"),
            0,
            certified,
            policy,
        );
    }
    // A side is one connection: what its namespace counted is what it did.
    let [certificate] = account.certificates.as_slice() else {
        return;
    };
    for (what, counter, told) in [
        (
            "keepalive probes",
            "TCPKeepAlive",
            certificate.keepalive_probes,
        ),
        ("window probes", "TCPWinProbe", certificate.window_probes),
    ] {
        if let Some(told) = told {
            let key = format!("{name} certified {what}");
            verdict.compare(&key, account.kernel.get(counter), told, policy);
        }
    }
    let least = scenario.silence_s() * 1000;
    let silent = certificate.silence_ms.unwrap_or(0);
    let age = certificate.age_ms.unwrap_or(u64::MAX - COARSE_MS);
    if name == "outbound" && (silent < least || age + COARSE_MS < silent) {
        verdict.wrong.push(format!(
            "{name} certificate: silent for {silent} ms at an age of {age} ms, {least} ms at least expected"
        ));
    }
}

/// What the table does not name is 0. But a slow machine may time a segment out that is answered then:
/// where the kernel has counted a timeout there may be a recovery, which it does not count.
fn unnamed(key: &str, account: &Account) -> Count {
    if key == "recoveries{retransmission}" && account.kernel.get("TCPTimeouts") > 0 {
        Count::Open
    } else {
        Count::Exactly(0)
    }
}

fn cause_of(key: &str) -> Option<&str> {
    key.strip_prefix("deaths{")?.strip_suffix('}')
}

/// What the agent saw none of although the scenarios gave it several: tracepoints may miss some, but
/// a hook that misses all of them is broken.
#[must_use]
pub fn unseen(verdicts: &[&Verdict]) -> Vec<String> {
    const SEVERAL: u64 = 3;
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for verdict in verdicts {
        for (key, must) in &verdict.expected {
            let counted = verdict.counted.get(key).and_then(Value::as_u64);
            // A figure that is the kernel's counter is not 0, or it would be a number.
            let must = must.as_u64().unwrap_or(u64::from(must != OPEN));
            let name = key.split_once(' ').map_or(key.as_str(), |(_, name)| name);
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + must, sum.1 + counted.unwrap_or(0));
        }
    }
    let unseen = sums
        .into_iter()
        .filter(|(_, (must, counted))| *must >= SEVERAL && *counted == 0);
    unseen
        .map(|(name, (must, _))| format!("{name}: none seen of at least {must}"))
        .collect()
}

fn expectations(side: &Side) -> BTreeMap<&'static str, Count> {
    let mut expected = BTreeMap::from([("retransmission_timeouts", Count::Kernel("TCPTimeouts"))]);
    expected.extend(side.agent.iter().copied());
    expected
}

/// What the agent has of each judged counter, by adding up its own counts of one side.
#[must_use]
pub fn counterparts(counted: &Counted) -> [(&'static str, u64); 4] {
    // What is unknown was on no path of which it is known that the kernel counts it.
    const BY_TIMEOUT: [&str; 6] = [
        "deaths{keepalive}",
        "deaths{user_timeout}",
        "deaths{retransmission}",
        "deaths{window_probe}",
        "deaths{connect_timeout}",
        "deaths{orphan}",
    ];
    let sum = |of: &dyn Fn(&str) -> bool| {
        counted
            .iter()
            .filter(|(key, _)| of(key))
            .map(|(_, count)| count)
            .sum()
    };
    [
        ("TCPKeepAlive", sum(&|key| key == "keepalive_probes")),
        ("TCPWinProbe", sum(&|key| key == "window_probes")),
        ("TCPAbortOnTimeout", sum(&|key| BY_TIMEOUT.contains(&key))),
        ("OutRsts", sum(&|key| key.starts_with("resets_sent{"))),
    ]
}

#[cfg(test)]
mod tests;
