//! One round of a self-test: scenarios are played all at once, then every count is compared.
//!
//! # Invariants
//!
//! The namespaces live until the counts have settled: the agent reads the kernel's counters in them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    Error,
    classify::{
        assessment::{Assessment, Exactness},
        census,
        counterparts::{kernel_counterparts, unseen_events},
        counts::{self, SideCounts},
        expectations::{ACCEPTED_ELSEWHERE, ACCOUNTED},
        liveness,
        settle::settle,
        totals::{self, LabTotals},
    },
    interrupt,
    net::host::Host,
    observe::{
        agent_client::AgentClient,
        deaths::DeathRecords,
        exposition::{self, Metrics},
        http::Origin,
        pace::Pace,
        snmp::Counters,
    },
    report::{ReportRow, SelftestReport},
    scenario::{
        perform::{self, ScenarioPart, ScenarioRun},
        stage::ClientPlace,
        table::{rejects, resets},
        terms::SelftestTerms,
    },
};

/// What the rounds of a self-test share.
pub(super) struct Round<'a> {
    pub(super) agent_client: Arc<AgentClient>,
    /// Where that agent answers.
    pub(super) origin: &'a Origin,
    /// How long connections live that live on.
    pub(super) lasts: Duration,
    pub(super) terms: &'a SelftestTerms,
    pub(super) pace: Pace,
}

/// What an agent had when the scenarios began.
struct AgentBaseline {
    metrics: Metrics,
    /// The number of the latest death record.
    records: u64,
}

/// What it has later.
struct AgentAnswer {
    /// Its metrics.
    text: String,
    records: DeathRecords,
}

impl Round<'_> {
    /// Plays them; the report's rows are theirs in their order, then those of all together.
    pub(super) fn play(&self, parts: &[ScenarioPart]) -> Result<SelftestReport, Error> {
        let Self {
            agent_client,
            origin,
            lasts,
            terms,
            pace,
        } = self;
        let before = AgentBaseline {
            metrics: agent_client.metrics()?,
            records: DeathRecords::ask_number(origin)?,
        };
        let exactness = terms
            .exactness
            .unwrap_or_else(|| Exactness::implied(&before.metrics));
        let runs = perform::perform(parts, *lasts, Some(agent_client));
        interrupt::check()?;
        let sockets = census::classify(runs.iter().flat_map(ScenarioRun::hosts), agent_client)?;
        let assess_now = || {
            let text = origin.text("/metrics")?;
            let records = DeathRecords::ask(origin, before.records)?;
            let answer = AgentAnswer { text, records };
            assess(&runs, &before, answer, exactness, terms, &sockets)
        };
        let mut report = settle(assess_now, SelftestReport::counts_as, SelftestReport::grade)?;
        for (row, run) in report.rows.iter_mut().zip(&runs) {
            let late = pace.longest_delay(run.played.0, run.played.1);
            row.late_ms = late.and_then(|late| u64::try_from(late.as_millis()).ok());
        }
        Ok(report)
    }
}

fn assess(
    runs: &[ScenarioRun],
    before: &AgentBaseline,
    answer: AgentAnswer,
    exactness: Exactness,
    terms: &SelftestTerms,
    sockets: &Assessment,
) -> Result<SelftestReport, Error> {
    let after = Metrics::parse(&answer.text)?;
    let records = &answer.records;
    let before = &before.metrics;
    let mut counted: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut assessments = Vec::new();
    for run in runs {
        let sides = sides(run, before, &after, records)?;
        for side in &sides {
            for (counter, count) in kernel_counterparts(&side.agent) {
                // A request's end has a cause that the kernel counts of full sockets alone, and timeouts
                // against a closed window it leaves out; where a row is over it says so itself.
                *counted.entry(counter).or_default() += count.min(side.kernel.get(counter));
            }
        }
        let scenario = run.scenario;
        let falsified = terms.falsified(scenario);
        let expected = scenario.expectations();
        let mut assessment = counts::classify(&expected, &sides, exactness, &falsified);
        let observed = run.observed();
        let wrong = liveness::compare(expected.liveness, &observed, terms.thresholds);
        assessment.wrong.extend(wrong);
        assessment.wrong.extend(run.faults());
        assessment.judged = observed;
        assessments.push(assessment);
    }
    // A reset that answers a stray segment has no port of ours to be counted under.
    let stray = after.stray_resets().saturating_sub(before.stray_resets());
    *counted.entry("OutRsts").or_default() += stray;
    let lab: BTreeMap<_, _> = perform::totals(runs, ACCOUNTED)?
        .into_iter()
        .map(|(counter, kernel)| {
            let counted = counted.get(counter).copied().unwrap_or(0);
            (counter, LabTotals { kernel, counted })
        })
        .collect();
    let mut totals = totals::classify(&lab, before, &after, exactness);
    let shown = perform::totals(runs, totals::SHOWN.map(|shown| shown.kernel))?;
    totals.wrong.extend(totals::missed(&shown, before, &after));
    let played = runs
        .iter()
        .zip(&assessments)
        .filter(|(p, _)| p.outcome.is_ok());
    let played: Vec<_> = played.map(|(_, assessment)| assessment).collect();
    totals.wrong.extend(unseen_events(&played));
    let was_played = |played: &&ScenarioRun| played.outcome.is_ok();
    let checks = runs.iter().filter(was_played);
    let checks = checks
        .filter(|run| resets::is_ignored(run.scenario))
        .count();
    let deaths = resets::DEATHS_IGNORED * checks as u64;
    totals
        .wrong
        .extend(totals::ignored(deaths, before, &after, exactness));
    let rejected = runs
        .iter()
        .filter(|p| p.outcome.is_ok() && rejects::is_by_router(p.scenario));
    totals
        .wrong
        .extend(totals::missed_rejects(rejected.count(), before, &after));
    let rows = runs
        .iter()
        .zip(assessments)
        .map(|(p, assessment)| row(p, assessment));
    let rows = rows.chain([
        ReportRow::totals(totals),
        ReportRow::sockets(sockets.clone()),
    ]);
    Ok(SelftestReport {
        rows: rows.collect(),
        hooks: after.hooks(),
        metrics: answer.text,
    })
}

fn sides(
    run: &ScenarioRun,
    before: &Metrics,
    after: &Metrics,
    records: &DeathRecords,
) -> Result<[SideCounts; 2], Error> {
    let mut hosts = run.hosts();
    let hooks = after.attached();
    let mut side = |kernel: Counters, direction| {
        let port = run.port;
        let [earlier, now] = [before, after].map(|m| m.of_port(direction, port));
        let netns = hosts.next().map_or(Ok(0), Host::inum)?;
        let records = records.of(direction, port, netns);
        let mut agent = exposition::since(&earlier, &now);
        let elsewhere = records.iter().filter(|it| it.is_accepted_elsewhere());
        agent.insert(ACCEPTED_ELSEWHERE.to_owned(), elsewhere.count() as u64);
        Ok(SideCounts {
            kernel,
            agent,
            records,
            hooks: hooks.clone(),
        })
    };
    let [client, server] = run.counters()?;
    Ok([side(client, "outbound")?, side(server, "inbound")?])
}

fn row(run: &ScenarioRun, assessment: Assessment) -> ReportRow {
    let scenario = run.scenario;
    let mut row = ReportRow::new(scenario.label(), scenario.title.to_owned(), assessment);
    row.family = run.form.family.as_str();
    row.played_ms = u64::try_from((run.played.1 - run.played.0).as_millis()).ok();
    row.namespace = match run.form.place {
        ClientPlace::Plain | ClientPlace::Far => "",
        ClientPlace::Second => "second",
    };
    match &run.outcome {
        Ok(()) => {}
        Err(Error::Unsupported(why)) => row.skip(why),
        Err(error) => row.fail(error),
    }
    row
}
