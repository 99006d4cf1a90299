//! One self-test: plays the scenarios while an agent observes, then compares every count.
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
        counts::{self, Falsified, SideCounts},
        expectations::{ACCEPTED_ELSEWHERE, ACCOUNTED},
        liveness,
        settle::settle,
        totals::{self, LabTotals},
    },
    interrupt,
    lab_lock::LabLock,
    net::host::{Host, NetnsLifetime},
    observe::{
        agent_client::{AgentClient, AgentThresholds},
        deaths::DeathRecords,
        exposition::{self, Metrics},
        http::Origin,
        snmp::Counters,
    },
    report::{ReportRow, SelftestReport},
    scenario::{
        definition::Scenario,
        perform::{self, ScenarioRun},
        stage::ClientPlace,
        table::{self, rejects, resets},
    },
};

pub use resets::IGNORE_FILTER;

/// Reads the number of a scenario.
///
/// # Errors
/// With the numbers there are.
pub fn number(typed: &str) -> Result<u16, String> {
    let mut numbers: Vec<u16> = table::all().map(|scenario| scenario.number).collect();
    numbers.dedup();
    let number = typed.parse().ok().filter(|number| numbers.contains(number));
    number.ok_or_else(|| {
        let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
        format!("the scenarios are {}", numbers.join(", "))
    })
}

/// Reads an expectation to be put in place of the table's: `SCENARIO SIDE KEY=NUMBER`, such as
/// `7 outbound keepalive_probes=4`.
///
/// # Errors
/// When it is none, or there is no such scenario.
pub fn falsified(typed: &str) -> Result<(String, String, u64), String> {
    let form = "write SCENARIO SIDE KEY=NUMBER, such as '7 outbound keepalive_probes=4'";
    let (scenario, rest) = typed.split_once(' ').ok_or(form)?;
    let (key, figure) = rest.rsplit_once('=').ok_or(form)?;
    let known = table::all().any(|known| known.label() == scenario);
    let side = ["inbound ", "outbound "]
        .iter()
        .any(|side| key.starts_with(side));
    match figure.parse() {
        Ok(figure) if known && side => Ok((scenario.to_owned(), key.to_owned(), figure)),
        _ => Err(form.to_owned()),
    }
}

/// Fails where the lab cannot work: without root, or while another one does.
///
/// # Errors
/// With what to do about it.
pub fn prepare() -> Result<LabLock, Error> {
    interrupt::install()?;
    Host::new("trial", NetnsLifetime::Thread)?;
    LabLock::take()
}

/// What is expected of an agent.
#[derive(Debug, Clone)]
pub struct SelftestTerms {
    /// How exact its counts must be; `None` for what follows from the mechanisms that it reports.
    pub exactness: Option<Exactness>,
    /// From when on it calls silence idle.
    pub thresholds: AgentThresholds,
    /// Expectations put in place of the table's, by scenario, side and key.
    pub falsified: Vec<(String, String, u64)>,
}

impl SelftestTerms {
    fn falsified(&self, scenario: &Scenario) -> Falsified {
        let label = scenario.label();
        let mine = self.falsified.iter().filter(|(of, ..)| *of == label);
        mine.map(|(_, key, figure)| (key.clone(), *figure))
            .collect()
    }
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

/// Plays the scenarios with these numbers (all if there are none) and compares what the agent at
/// `origin` counted and reported.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(
    origin: &Origin,
    numbers: &[u16],
    terms: &SelftestTerms,
) -> Result<SelftestReport, Error> {
    play(origin, terms, |agent| {
        perform::perform(numbers, Some(agent))
    })
}

/// The same of the connections that live on, for so long.
///
/// # Errors
/// As above.
pub fn run_living(
    origin: &Origin,
    lasts: Duration,
    terms: &SelftestTerms,
) -> Result<SelftestReport, Error> {
    play(origin, terms, |agent| perform::living(lasts, Some(agent)))
}

fn play(
    origin: &Origin,
    terms: &SelftestTerms,
    perform: impl FnOnce(&Arc<AgentClient>) -> Vec<ScenarioRun>,
) -> Result<SelftestReport, Error> {
    let thresholds = terms.thresholds;
    let before = AgentBaseline {
        metrics: Metrics::parse(&origin.text("/metrics")?)?,
        records: DeathRecords::ask_number(origin)?,
    };
    let exactness = terms
        .exactness
        .unwrap_or_else(|| Exactness::implied(&before.metrics));
    let agent_client = Arc::new(AgentClient::new(origin.clone(), thresholds));
    let runs = perform(&agent_client);
    interrupt::check()?;
    let sockets = census::classify(runs.iter().flat_map(ScenarioRun::hosts), &agent_client)?;
    let assess_now = || {
        let text = origin.text("/metrics")?;
        let records = DeathRecords::ask(origin, before.records)?;
        let answer = AgentAnswer { text, records };
        assess(&runs, &before, answer, exactness, terms, &sockets)
    };
    settle(assess_now, SelftestReport::counts_as, SelftestReport::grade)
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
    row.played_ms = u64::try_from(run.took.as_millis()).ok();
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
