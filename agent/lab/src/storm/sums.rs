//! What all fronts together show: by cause, and by the kernel's counters.
//! It must never add up what has not been judged front by front.

use std::collections::BTreeMap;

use super::{
    books::{Account, Books, note},
    ledger::ENDS,
};
use crate::{
    judge::{self, Policy, Verdict},
    judgement::End,
    report::Row,
    totals::Lab,
};

const UNKNOWN: &str = "unknown";

/// A hook that misses all of so many is broken, even where some may be missed.
const SEVERAL: u64 = 3;

/// One cause at one kind of ends.
#[derive(Debug, Default, Clone, Copy)]
struct Cause {
    ledger: u64,
    deaths: u64,
    certificates: u64,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Sums {
    causes: BTreeMap<(String, End), Cause>,
    kernel: BTreeMap<&'static str, u64>,
    lab: BTreeMap<&'static str, Lab>,
}

/// The kernel's counters that deaths alone move.
const COUNTERS: [&str; 3] = ["TCPAbortOnTimeout", "EstabResets", "AttemptFails"];

/// Which of them a death moves (kernel facts, "Deaths" and "Reconciling").
fn moved(cause: &str, end: End) -> &'static [&'static str] {
    match (cause, end) {
        ("keepalive" | "user_timeout" | "retransmission" | "window_probe", _) => {
            &["TCPAbortOnTimeout", "EstabResets"]
        }
        ("reset_sent" | "reset_received" | "administrative", _) => &["EstabResets"],
        ("orphan", _) => &["TCPAbortOnTimeout"],
        ("connect_timeout", End::Client) => &["TCPAbortOnTimeout", "AttemptFails"],
        ("refused", _) => &["AttemptFails"],
        // A request socket's end moves none.
        _ => &[],
    }
}

impl Sums {
    /// Adds one host.
    pub(super) fn add(&mut self, books: &Books, account: &Account<'_>) {
        let end = account.end;
        let mut cause = |name: &str, add: &dyn Fn(&mut Cause)| {
            add(self.causes.entry((name.to_owned(), end)).or_default());
        };
        for (fate, count) in books.ledger.fates(books.front, end) {
            cause(fate.cause, &|sum| sum.ledger += count);
        }
        for (key, count) in &account.counted {
            let death = key.strip_prefix("deaths{");
            if let Some(name) = death.and_then(|rest| rest.strip_suffix('}')) {
                cause(name, &|sum| sum.deaths += count);
            }
        }
        for certificate in &account.certificates {
            cause(&certificate.cause, &|sum| sum.certificates += 1);
        }
        for counter in COUNTERS {
            *self.kernel.entry(counter).or_default() += account.kernel.get(counter);
        }
        for (counter, counted) in judge::counterparts(&account.counted) {
            let lab = self.lab.entry(counter).or_insert(Lab {
                kernel: 0,
                counted: 0,
            });
            let kernel = account.kernel.get(counter);
            lab.kernel += kernel;
            // A request's end has a cause that the kernel counts of full sockets alone.
            lab.counted += counted.min(kernel);
        }
    }

    /// A row for each cause.
    pub(super) fn causes(&self, policy: Policy) -> Vec<Row> {
        let mut verdicts: BTreeMap<&str, Verdict> = BTreeMap::new();
        for ((name, end), sum) in &self.causes {
            let verdict = verdicts.entry(name).or_default();
            note(verdict, *end, "deaths", sum.ledger, sum.deaths, policy);
            note(
                verdict,
                *end,
                "certificates",
                sum.ledger,
                sum.certificates,
                policy,
            );
            if sum.ledger >= SEVERAL && sum.certificates == 0 {
                verdict.wrong.push(format!(
                    "{}: no certificate for any of {}",
                    end.direction(),
                    sum.ledger
                ));
            }
        }
        let row = |(name, verdict): (&str, Verdict)| {
            let title = "all fronts together, as done, counted and certified".to_owned();
            Row::of_verdict(format!("cause {name}"), title, verdict)
        };
        verdicts.into_iter().map(row).collect()
    }

    /// The kernel's counters beside the certificates of deaths that move them.
    pub(super) fn kernel(&self, policy: Policy) -> Verdict {
        let mut verdict = Verdict::default();
        for counter in COUNTERS {
            let kernel = self.kernel.get(counter).copied().unwrap_or(0);
            let moving = self
                .causes
                .iter()
                .filter(|((name, end), _)| moved(name, *end).contains(&counter));
            let certified = moving.map(|(_, sum)| sum.certificates).sum();
            verdict.compare(counter, kernel, certified, policy);
            verdict.expected.insert(counter.to_owned(), kernel.into());
            verdict.kernel.insert(counter.to_owned(), kernel.into());
            verdict.counted.insert(counter.to_owned(), certified.into());
        }
        verdict
    }

    /// The judged counters' totals, `stray` resets having been counted under no port.
    pub(super) fn lab(&self, stray: u64) -> BTreeMap<&'static str, Lab> {
        let mut lab = self.lab.clone();
        if let Some(resets) = lab.get_mut("OutRsts") {
            resets.counted += stray;
        }
        lab
    }

    /// Deaths that nobody can explain: there must be none.
    pub(super) fn unknown(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for end in ENDS {
            let sum = self.causes.get(&(UNKNOWN.to_owned(), end)).copied();
            let sum = sum.unwrap_or_default();
            note(&mut verdict, end, "deaths", 0, sum.deaths, Policy::Exact);
            note(
                &mut verdict,
                end,
                "certificates",
                0,
                sum.certificates,
                Policy::Exact,
            );
        }
        verdict
    }
}
