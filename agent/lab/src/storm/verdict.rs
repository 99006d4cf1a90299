//! The rows of the storm's report: each front, each cause, and the accounts as a whole.
//! It must never pass what was not seen at all, nor a certificate twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    books::{Account, Books},
    field::Field,
    ledger::ENDS,
    sums::Sums,
};
use crate::{
    Error,
    certificates::{Certificate, Certificates},
    exposition::{self, Metrics},
    judge::{Policy, Verdict},
    judgement::End,
    report::Row,
    totals,
};

/// What the agent says.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) before: &'a Metrics,
    pub(super) after: &'a Metrics,
    /// Certificates before the storm.
    pub(super) arrived_before: u64,
    /// Those since.
    pub(super) certificates: &'a Certificates,
}

impl Evidence<'_> {
    fn grown(&self, metric: &str) -> u64 {
        let [before, after] = [self.before, self.after].map(|metrics| metrics.sum(metric, &[]));
        after.saturating_sub(before)
    }
}

/// Judges everything.
pub(super) fn rows(
    fields: &[Field],
    outcomes: &[Result<(), Error>],
    evidence: &Evidence<'_>,
    policy: Policy,
) -> Result<Vec<Row>, Error> {
    let mut by_netns: BTreeMap<u64, Vec<&Certificate>> = BTreeMap::new();
    for certificate in &evidence.certificates.deaths {
        by_netns
            .entry(certificate.netns)
            .or_default()
            .push(certificate);
    }
    let (mut rows, mut sums) = (Vec::new(), Sums::default());
    for (field, outcome) in fields.iter().zip(outcomes) {
        let books = field.books();
        let mut verdict = Verdict::default();
        for (end, kernel) in ENDS.into_iter().zip(field.counters()?) {
            let netns = field.host(end).inum()?;
            let account = Account {
                end,
                kernel,
                counted: counted(evidence, end, field.port),
                certificates: by_netns.remove(&netns).unwrap_or_default(),
            };
            books.judge(&account, policy, &mut verdict);
            sums.add(&books, &account);
        }
        rows.push(front(&books, outcome, verdict));
    }
    rows.extend(sums.causes(policy));
    rows.push(row(
        "kernel",
        "certificates added up as each of the kernel's counters",
        sums.kernel(policy),
    ));
    rows.push(Row::totals(totals(&sums, evidence, policy)));
    rows.push(row(
        "certificates",
        "a certificate for each death counted on this host, or its loss",
        certificates(evidence, policy),
    ));
    rows.push(row(
        "unknown",
        "deaths of the storm whose cause is unknown",
        sums.unknown(),
    ));
    Ok(rows)
}

fn row(name: &str, title: &str, verdict: Verdict) -> Row {
    Row::of_verdict(name.to_owned(), title.to_owned(), verdict)
}

fn counted(evidence: &Evidence<'_>, end: End, port: u16) -> exposition::Counted {
    let of = |metrics: &Metrics| metrics.of_port(end.direction(), port);
    exposition::since(&of(evidence.before), &of(evidence.after))
}

fn front(books: &Books, outcome: &Result<(), Error>, verdict: Verdict) -> Row {
    let title = format!("{}, {}", books.ledger.connections(), books.front.title);
    let mut row = row(&format!("front {}", books.front.name), &title, verdict);
    row.family = if books.server.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    };
    match outcome {
        Ok(()) => {}
        Err(Error::Unsupported(why)) => row.skip(why),
        Err(error) => row.fail(error),
    }
    row
}

fn totals(sums: &Sums, evidence: &Evidence<'_>, policy: Policy) -> Verdict {
    // A reset that answers for no connection has no port of ours to be counted under.
    let stray =
        |metrics: &Metrics| metrics.sum("halfopen_resets_sent_total", &[("direction", "none")]);
    let stray = stray(evidence.after).saturating_sub(stray(evidence.before));
    let lab = sums.lab(stray);
    let mut verdict = totals::judge(&lab, evidence.before, evidence.after, policy);
    // The kernel skips a program where another one runs already: the reason for what is missing.
    let misses = evidence.grown("halfopen_hook_misses_total");
    if misses > 0 {
        verdict
            .counted
            .insert("hook_misses".to_owned(), misses.into());
        let told = format!("{misses} runs of hooks were skipped by the kernel");
        verdict.short.push(told);
    }
    verdict
}

fn certificates(evidence: &Evidence<'_>, policy: Policy) -> Verdict {
    let mut verdict = Verdict::default();
    let deaths = evidence.grown("halfopen_deaths_total");
    let lost = evidence.grown("halfopen_certificates_lost_total");
    let all = evidence.certificates;
    let arrived = all.arrived.saturating_sub(evidence.arrived_before);
    verdict.compare("certificates", deaths, arrived, policy);
    if arrived + lost != deaths {
        verdict.wrong.push(format!(
            "{arrived} certificates and {lost} lost do not make the {deaths} deaths counted"
        ));
    }
    let numbers: BTreeSet<u64> = all.deaths.iter().map(|it| it.number).collect();
    let shown = all.deaths.len() as u64;
    if numbers.len() as u64 != shown {
        let twice = shown - numbers.len() as u64;
        verdict
            .wrong
            .push(format!("{twice} certificates have the number of another"));
    }
    for (key, must, count) in [("certificates", deaths, arrived), ("lost", 0, lost)] {
        verdict.expected.insert(key.to_owned(), must.into());
        verdict.counted.insert(key.to_owned(), count.into());
    }
    verdict
}
