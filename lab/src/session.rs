//! One self-test: plays the scenarios while an agent watches, then has every count judged.
//! It must never end before the counts have settled, nor let the namespaces go before the agent has
//! read their counters.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Counters, Error, Host, Turn, census,
    exposition::{self, Metrics},
    host::Held,
    http::Origin,
    interrupt,
    judge::{self, Account, Policy, Verdict},
    judgement::Thresholds,
    perform::{self, Performance},
    report::{Report, Row},
    scenarios, totals,
    witness::Witness,
};

const SCRAPE_EVERY: Duration = Duration::from_millis(500);

/// How long right counts must stay right: one that is counted twice comes late.
const STAYS_RIGHT: Duration = Duration::from_secs(2);

/// How long counts that are short, but accounted for, must stay the same: more than two of the agent's
/// readings of the kernel's counters, every 5 s by default.
const STAYS_SHORT: Duration = Duration::from_secs(12);

/// The same for wrong counts: on a slow machine each of those readings takes its time.
const STAYS_WRONG: Duration = Duration::from_secs(45);

/// When counts that never settle are judged as they are.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// The functions whose events tracepoints may miss.
const INEXACT_BY_TRACEPOINT: [&str; 5] = [
    "tcp_xmit_probe_skb",
    "tcp_retransmit_timer",
    "tcp_keepalive_timer",
    "tcp_write_timer_handler",
    "tcp_send_active_reset",
];

/// Reads the number of a scenario.
///
/// # Errors
/// With the numbers there are.
pub fn number(typed: &str) -> Result<u16, String> {
    let mut numbers: Vec<u16> = scenarios::all().map(|scenario| scenario.number).collect();
    numbers.dedup();
    let number = typed.parse().ok().filter(|number| numbers.contains(number));
    number.ok_or_else(|| {
        let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
        format!("the scenarios are {}", numbers.join(", "))
    })
}

/// Fails where the lab cannot work: without root, or while another one does.
///
/// # Errors
/// With what to do about it.
pub fn prepare() -> Result<Turn, Error> {
    interrupt::install()?;
    Host::new("trial", Held::ByThread)?;
    Turn::take()
}

/// What an agent is held to.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How exact its counts must be; `None` for what follows from the mechanisms that it reports.
    pub policy: Option<Policy>,
    /// From when on it calls silence idle.
    pub thresholds: Thresholds,
}

/// Plays the scenarios with these numbers (all if there are none) and judges what the agent at
/// `origin` counted, and how it judged them.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(origin: &Origin, numbers: &[u16], terms: Terms) -> Result<Report, Error> {
    let Terms { policy, thresholds } = terms;
    let before = Metrics::parse(&origin.text("/metrics")?)?;
    let policy = policy.unwrap_or_else(|| implied(&before));
    let witness = Arc::new(Witness::new(origin.clone(), thresholds));
    let performances = perform::perform(numbers, Some(&witness));
    interrupt::check()?;
    let sockets = census::judge(&performances, &witness)?;
    let started = Instant::now();
    let mut since = started;
    let mut last: Option<Report> = None;
    loop {
        interrupt::check()?;
        let text = origin.text("/metrics")?;
        let report = assess(&performances, &before, text, policy, thresholds, &sockets)?;
        let same = last.as_ref().is_some_and(|last| last.counts_as(&report));
        if !same {
            since = Instant::now();
        }
        let enough = match report.tally() {
            (_, 0, _) if report.is_perfect() => STAYS_RIGHT,
            (_, 0, _) => STAYS_SHORT,
            _ => STAYS_WRONG,
        };
        if since.elapsed() >= enough || started.elapsed() > SETTLES_WITHIN {
            return Ok(report);
        }
        last = Some(report);
        thread::sleep(SCRAPE_EVERY);
    }
}

fn implied(metrics: &Metrics) -> Policy {
    let inexact = metrics.hooks().iter().any(|(hook, mechanism)| {
        mechanism == "tracepoint" && INEXACT_BY_TRACEPOINT.contains(&hook.as_str())
    });
    if inexact {
        Policy::NeverOver
    } else {
        Policy::Exact
    }
}

fn assess(
    performances: &[Performance],
    before: &Metrics,
    text: String,
    policy: Policy,
    thresholds: Thresholds,
    sockets: &Verdict,
) -> Result<Report, Error> {
    let after = Metrics::parse(&text)?;
    let mut counted: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for performance in performances {
        let accounts = accounts(performance, before, &after)?;
        for account in &accounts {
            for (counter, count) in judge::counterparts(&account.agent) {
                *counted.entry(counter).or_default() += count;
            }
        }
        let mut verdict = judge::judge(performance.scenario, &accounts, policy);
        verdict.judged(performance.scenario, performance.seen(), thresholds);
        verdicts.push(verdict);
    }
    // A reset that answers a stray segment has no port of ours to be counted under.
    let stray =
        |metrics: &Metrics| metrics.sum("halfopen_resets_sent_total", &[("direction", "none")]);
    *counted.entry("OutRsts").or_default() += stray(&after).saturating_sub(stray(before));
    let lab: BTreeMap<_, _> = perform::totals(performances)?
        .into_iter()
        .map(|(counter, kernel)| {
            let counted = counted.get(counter).copied().unwrap_or(0);
            (counter, totals::Lab { kernel, counted })
        })
        .collect();
    let mut totals = totals::judge(&lab, before, &after, policy);
    let played = performances
        .iter()
        .zip(&verdicts)
        .filter(|(p, _)| p.outcome.is_ok());
    let played: Vec<_> = played.map(|(_, verdict)| verdict).collect();
    totals.wrong.extend(judge::unseen(&played));
    let rows = performances
        .iter()
        .zip(verdicts)
        .map(|(p, verdict)| Row::of(p, verdict));
    let rows = rows.chain([Row::totals(totals), Row::sockets(sockets.clone())]);
    Ok(Report {
        rows: rows.collect(),
        hooks: after.hooks(),
        metrics: text,
    })
}

fn accounts(
    performance: &Performance,
    before: &Metrics,
    after: &Metrics,
) -> Result<[Account; 2], Error> {
    let account = |kernel: Counters, direction| {
        let [earlier, now] = [before, after].map(|m| m.of_port(direction, performance.port));
        Account {
            kernel,
            agent: exposition::since(&earlier, &now),
        }
    };
    let [client, server] = performance.counters()?;
    Ok([account(client, "outbound"), account(server, "inbound")])
}
