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
    certificates::Certificates,
    exposition::{self, Metrics},
    host::Held,
    http::Origin,
    interrupt,
    judge::{self, Account, Falsified, Policy, Verdict},
    judgement::Thresholds,
    perform::{self, Performance},
    report::{Report, Row},
    scenarios::{self, Scenario},
    totals,
    witness::Witness,
};

pub(crate) const SCRAPE_EVERY: Duration = Duration::from_millis(500);

/// How long right counts must stay right: one that is counted twice comes late.
pub(crate) const STAYS_RIGHT: Duration = Duration::from_secs(2);

/// How long counts that are short, but accounted for, must stay the same: more than two of the agent's
/// readings of the kernel's counters, every 5 s by default.
pub(crate) const STAYS_SHORT: Duration = Duration::from_secs(12);

/// The same for wrong counts: on a slow machine each of those readings takes its time.
pub(crate) const STAYS_WRONG: Duration = Duration::from_secs(45);

/// When counts that never settle are judged as they are.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(120);

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

/// Reads an expectation to be put in place of the table's: `SCENARIO SIDE KEY=NUMBER`, such as
/// `7 outbound keepalive_probes=4`.
///
/// # Errors
/// When it is none, or there is no such scenario.
pub fn falsified(typed: &str) -> Result<(String, String, u64), String> {
    let form = "write SCENARIO SIDE KEY=NUMBER, such as '7 outbound keepalive_probes=4'";
    let (scenario, rest) = typed.split_once(' ').ok_or(form)?;
    let (key, figure) = rest.rsplit_once('=').ok_or(form)?;
    let known = scenarios::all().any(|known| known.label() == scenario);
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
pub fn prepare() -> Result<Turn, Error> {
    interrupt::install()?;
    Host::new("trial", Held::ByThread)?;
    Turn::take()
}

/// What an agent is held to.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How exact its counts must be; `None` for what follows from the mechanisms that it reports.
    pub policy: Option<Policy>,
    /// From when on it calls silence idle.
    pub thresholds: Thresholds,
    /// Expectations put in place of the table's, by scenario, side and key.
    pub falsified: Vec<(String, String, u64)>,
}

impl Terms {
    fn falsified(&self, scenario: &Scenario) -> Falsified {
        let label = scenario.label();
        let mine = self.falsified.iter().filter(|(of, ..)| *of == label);
        mine.map(|(_, key, figure)| (key.clone(), *figure))
            .collect()
    }
}

/// What an agent had when the scenarios began.
struct Before {
    metrics: Metrics,
    /// The number of the latest certificate.
    certificates: u64,
}

/// What it tells later.
struct Told {
    /// Its metrics.
    text: String,
    certificates: Certificates,
}

/// Plays the scenarios with these numbers (all if there are none) and judges what the agent at
/// `origin` counted, and how it judged them.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(origin: &Origin, numbers: &[u16], terms: &Terms) -> Result<Report, Error> {
    let thresholds = terms.thresholds;
    let before = Before {
        metrics: Metrics::parse(&origin.text("/metrics")?)?,
        certificates: Certificates::ask_number(origin)?,
    };
    let policy = terms.policy.unwrap_or_else(|| implied(&before.metrics));
    let witness = Arc::new(Witness::new(origin.clone(), thresholds));
    let performances = perform::perform(numbers, Some(&witness));
    interrupt::check()?;
    let sockets = census::judge(&performances, &witness)?;
    settle(|| {
        let text = origin.text("/metrics")?;
        let certificates = Certificates::ask(origin, before.certificates)?;
        let told = Told { text, certificates };
        assess(&performances, &before, told, policy, terms, &sockets)
    })
}

/// Assesses again and again until the counts have settled.
pub(crate) fn settle(mut assess: impl FnMut() -> Result<Report, Error>) -> Result<Report, Error> {
    let started = Instant::now();
    let mut since = started;
    let mut last: Option<Report> = None;
    loop {
        interrupt::check()?;
        let report = assess()?;
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

/// How exact an agent can be with the mechanisms that it reports.
pub(crate) fn implied(metrics: &Metrics) -> Policy {
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
    before: &Before,
    told: Told,
    policy: Policy,
    terms: &Terms,
    sockets: &Verdict,
) -> Result<Report, Error> {
    let after = Metrics::parse(&told.text)?;
    let certificates = &told.certificates;
    let before = &before.metrics;
    let mut counted: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for performance in performances {
        let accounts = accounts(performance, before, &after, certificates)?;
        for account in &accounts {
            for (counter, count) in judge::counterparts(&account.agent) {
                // A request's end has a cause that the kernel counts of full sockets alone; where a row
                // is over it says so itself.
                *counted.entry(counter).or_default() += count.min(account.kernel.get(counter));
            }
        }
        let scenario = performance.scenario;
        let falsified = terms.falsified(scenario);
        let mut verdict = judge::judge(scenario, &accounts, policy, &falsified);
        verdict.judged(scenario, performance.seen(), terms.thresholds);
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
        metrics: told.text,
    })
}

fn accounts(
    performance: &Performance,
    before: &Metrics,
    after: &Metrics,
    certificates: &Certificates,
) -> Result<[Account; 2], Error> {
    let mut hosts = performance.hosts();
    let mut account = |kernel: Counters, direction| {
        let port = performance.port;
        let [earlier, now] = [before, after].map(|m| m.of_port(direction, port));
        let netns = hosts.next().map_or(Ok(0), Host::inum)?;
        Ok(Account {
            kernel,
            agent: exposition::since(&earlier, &now),
            certificates: certificates.of(direction, port, netns),
        })
    };
    let [client, server] = performance.counters()?;
    Ok([account(client, "outbound")?, account(server, "inbound")?])
}
