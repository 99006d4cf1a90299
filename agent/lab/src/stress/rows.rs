//! The rows of the stress test's report: each case, each cause, and the totals.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error,
    classify::{
        assessment::{Assessment, Exactness},
        totals,
    },
    net::end::{ENDS, End},
    observe::{
        deaths::{DeathRecord, DeathRecords},
        exposition::{self, Metrics},
    },
    report::ReportRow,
    stress::{
        fixture::Fixture,
        reconcile::{CaseRecord, EndCounts},
        sums::StressSums,
    },
};

/// What the agent has, before and after.
#[derive(Debug)]
pub(super) struct AgentAnswers<'a> {
    pub(super) before: &'a Metrics,
    pub(super) after: &'a Metrics,
    /// Death records before the stress test.
    pub(super) arrived_before: u64,
    /// Those since.
    pub(super) records: &'a DeathRecords,
}

impl AgentAnswers<'_> {
    fn grown(&self, metric: &str) -> u64 {
        let [before, after] = [self.before, self.after].map(|metrics| metrics.sum(metric, &[]));
        after.saturating_sub(before)
    }
}

/// Compares everything.
pub(super) fn rows(
    fixtures: &[Fixture],
    outcomes: &[Result<(), Error>],
    answers: &AgentAnswers<'_>,
    exactness: Exactness,
) -> Result<Vec<ReportRow>, Error> {
    let mut by_netns: BTreeMap<u64, Vec<&DeathRecord>> = BTreeMap::new();
    for record in &answers.records.deaths {
        by_netns.entry(record.netns).or_default().push(record);
    }
    let (mut rows, mut sums) = (Vec::new(), StressSums::default());
    for (fixture, outcome) in fixtures.iter().zip(outcomes) {
        let case_record = fixture.record();
        let mut assessment = Assessment::default();
        for (end, kernel) in ENDS.into_iter().zip(fixture.counters()?) {
            let netns = fixture.host(end).inum()?;
            let counts = EndCounts {
                end,
                kernel,
                counted: counted(answers, end, fixture.port),
                records: by_netns.remove(&netns).unwrap_or_default(),
            };
            case_record.compare(&counts, exactness, &mut assessment);
            sums.add(&case_record, &counts);
        }
        rows.push(case(&case_record, outcome, assessment));
    }
    rows.extend(sums.causes(exactness));
    rows.push(row(
        "kernel",
        "certificates added up as each of the kernel's counters",
        sums.kernel(exactness),
    ));
    rows.push(ReportRow::totals(totals(&sums, answers, exactness)));
    rows.push(row(
        "certificates",
        "a certificate for each death counted on this host, or its loss",
        records(answers, exactness),
    ));
    rows.push(row(
        "inferred",
        "deaths of the storm whose cause was inferred",
        sums.inferred(exactness),
    ));
    rows.push(row(
        "unknown",
        "deaths of the storm whose cause is unknown",
        sums.unknown(),
    ));
    Ok(rows)
}

fn row(name: &str, title: &str, assessment: Assessment) -> ReportRow {
    ReportRow::new(name.to_owned(), title.to_owned(), assessment)
}

fn counted(answers: &AgentAnswers<'_>, end: End, port: u16) -> exposition::AgentCounts {
    let of = |metrics: &Metrics| metrics.of_port(end.direction(), port);
    exposition::since(&of(answers.before), &of(answers.after))
}

fn case(
    case_record: &CaseRecord,
    outcome: &Result<(), Error>,
    assessment: Assessment,
) -> ReportRow {
    let title = format!(
        "{}, {}",
        case_record.ledger.connections(),
        case_record.case.title
    );
    let mut row = row(
        &format!("front {}", case_record.case.name),
        &title,
        assessment,
    );
    row.family = if case_record.server.is_ipv4() {
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

fn totals(sums: &StressSums, answers: &AgentAnswers<'_>, exactness: Exactness) -> Assessment {
    // A reset that answers for no connection has no port of ours to be counted under.
    let [before, after] = [answers.before, answers.after].map(Metrics::stray_resets);
    let stray = after.saturating_sub(before);
    let lab = sums.lab(stray);
    let mut assessment = totals::classify(&lab, answers.before, answers.after, exactness);
    // The kernel skips a program where another one runs already: the reason for what is missing.
    let misses = answers.grown("halfopen_hook_misses_total");
    if misses > 0 {
        assessment
            .counted
            .insert("hook_misses".to_owned(), misses.into());
        let why = format!("{misses} runs of hooks were skipped by the kernel");
        assessment.short.push(why);
    }
    assessment
}

fn records(answers: &AgentAnswers<'_>, exactness: Exactness) -> Assessment {
    let mut assessment = Assessment::default();
    let deaths = answers.grown("halfopen_deaths_total");
    let lost = answers.grown("halfopen_certificates_lost_total");
    let all = answers.records;
    let arrived = all.arrived.saturating_sub(answers.arrived_before);
    assessment.compare("certificates", deaths, arrived, exactness);
    if arrived + lost != deaths {
        assessment.wrong.push(format!(
            "{arrived} certificates and {lost} lost do not make the {deaths} deaths counted"
        ));
    }
    let numbers: BTreeSet<u64> = all.deaths.iter().map(|it| it.number).collect();
    let shown = all.deaths.len() as u64;
    if numbers.len() as u64 != shown {
        let twice = shown - numbers.len() as u64;
        assessment
            .wrong
            .push(format!("{twice} certificates have the number of another"));
    }
    for (key, must, count) in [("certificates", deaths, arrived), ("lost", 0, lost)] {
        assessment.expected.insert(key.to_owned(), must.into());
        assessment.counted.insert(key.to_owned(), count.into());
    }
    assessment
}
