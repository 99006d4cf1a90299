//! A self-test: plays the scenarios while an agent observes, and again those that went wrong where the machine was
//! late.

use std::{sync::Arc, time::Duration};

use crate::{
    Error,
    classify::settle::{Grade, settle},
    interrupt,
    lab_lock::LabLock,
    net::{
        end::ENDS,
        host::{Host, NetnsLifetime},
    },
    observe::{agent_client::AgentClient, http::Origin, pace::Pace},
    report::SelftestReport,
    scenario::{perform::ScenarioPart, round::Round, table},
};

pub use super::{
    table::resets::IGNORE_FILTER,
    terms::{SelftestTerms, falsified},
};

/// How often a scenario is played at most.
const PLAYS: usize = 3;

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

/// Fails where the lab cannot work: without root, or while another one does.
///
/// # Errors
/// With what to do about it.
pub fn prepare() -> Result<LabLock, Error> {
    interrupt::install()?;
    Host::new("trial", NetnsLifetime::Thread)?;
    LabLock::take()
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
    let parts = ScenarioPart::with_numbers(numbers);
    play(origin, &parts, Duration::ZERO, terms)
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
    play(origin, &ScenarioPart::living(), lasts, terms)
}

fn play(
    origin: &Origin,
    parts: &[ScenarioPart],
    lasts: Duration,
    terms: &SelftestTerms,
) -> Result<SelftestReport, Error> {
    let round = Round {
        agent_client: Arc::new(AgentClient::new(origin.clone(), terms.thresholds)),
        origin,
        lasts,
        terms,
        pace: Pace::watch(),
    };
    let mut report = round.play(parts)?;
    for _ in 1..PLAYS {
        let rows = report.rows.iter().enumerate().take(parts.len());
        let again: Vec<usize> = rows
            .filter(|(_, row)| row.is_to_be_played_again())
            .map(|(index, _)| index)
            .collect();
        if again.is_empty() {
            break;
        }
        let parts: Vec<_> = again.iter().map(|&index| parts[index]).collect();
        await_silence(&round.agent_client, &parts)?;
        report.replace(&again, round.play(&parts)?);
    }
    Ok(report)
}

/// Waits until the agent counts nothing more of what was played before at these scenarios' ports.
fn await_silence(agent_client: &AgentClient, parts: &[ScenarioPart]) -> Result<(), Error> {
    let counted = || {
        let metrics = agent_client.metrics()?;
        let ports = parts.iter().map(|part| part.port());
        let counted = ports.flat_map(|port| ENDS.map(|end| (port, end.direction())));
        Ok(counted
            .map(|(port, direction)| metrics.of_port(direction, port))
            .collect::<Vec<_>>())
    };
    settle(counted, PartialEq::eq, |_| Grade::Right).map(drop)
}
