//! Plays scenarios, all at once, each in network namespaces of its own.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use crate::{
    Error,
    classify::observed::ObservedLiveness,
    net::host::Host,
    observe::{agent_client::AgentClient, snmp::Counters},
    scenario::{
        definition::{Scenario, ScenarioForm},
        minute,
        stage::Stage,
        table,
    },
};

/// A scenario that was played; its namespaces live as long as this.
#[derive(Debug)]
pub struct ScenarioRun {
    /// Which.
    pub scenario: &'static Scenario,
    /// In which form.
    pub form: ScenarioForm,
    /// The server's port.
    pub port: u16,
    /// Whether it could be played to its end.
    pub outcome: Result<(), Error>,
    stage: Option<Stage>,
}

impl ScenarioRun {
    /// What the kernel counted, the client's side first.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn counters(&self) -> Result<[Counters; 2], Error> {
        let mut hosts = self.hosts();
        let mut next = || {
            hosts
                .next()
                .map_or_else(|| Ok(Counters::default()), |host| host.counters())
        };
        Ok([next()?, next()?])
    }

    /// Every host, the watched client first and its server second.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.stage.iter().flat_map(Stage::hosts)
    }

    /// What is wrong with it beside the figures of the table.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.stage.as_ref().map(Stage::faults).unwrap_or_default()
    }

    /// What the agent reported of it, where one did.
    #[must_use]
    pub fn observed(&self) -> Vec<ObservedLiveness> {
        self.stage.as_ref().map(Stage::observed).unwrap_or_default()
    }
}

/// Plays those with one of these numbers, or all if there are none, observed by an agent if there is
/// one; returns when the last has ended.
#[must_use]
pub fn perform(numbers: &[u16], agent_client: Option<&Arc<AgentClient>>) -> Vec<ScenarioRun> {
    let chosen = table::all().filter(|s| numbers.is_empty() || numbers.contains(&s.number));
    play(chosen, Duration::ZERO, agent_client)
}

/// The same of connections that live on, for so long.
#[must_use]
pub fn living(lasts: Duration, agent_client: Option<&Arc<AgentClient>>) -> Vec<ScenarioRun> {
    play(minute::SCENARIOS.iter(), lasts, agent_client)
}

fn play(
    chosen: impl Iterator<Item = &'static Scenario>,
    lasts: Duration,
    agent_client: Option<&Arc<AgentClient>>,
) -> Vec<ScenarioRun> {
    let parts = chosen.flat_map(|scenario| {
        let forms = scenario.forms.iter().copied().enumerate();
        forms.map(move |(index, form)| (scenario, form, scenario.port(index)))
    });
    let parts: Vec<_> = parts.collect();
    thread::scope(|scope| {
        let playing: Vec<_> = parts
            .into_iter()
            .map(|(scenario, form, port)| {
                (
                    scenario,
                    form,
                    port,
                    scope.spawn(move || {
                        play_one(scenario, form, port, lasts, agent_client.cloned())
                    }),
                )
            })
            .collect();
        playing
            .into_iter()
            .map(|(scenario, form, port, thread)| {
                let gone = || {
                    (
                        None,
                        Err(Error::HostGone(format!("of scenario {}", scenario.label()))),
                    )
                };
                let (stage, outcome) = thread.join().unwrap_or_else(|_| gone());
                ScenarioRun {
                    scenario,
                    form,
                    port,
                    outcome,
                    stage,
                }
            })
            .collect()
    })
}

fn play_one(
    scenario: &Scenario,
    form: ScenarioForm,
    port: u16,
    lasts: Duration,
    agent_client: Option<Arc<AgentClient>>,
) -> (Option<Stage>, Result<(), Error>) {
    match Stage::new(port, form.family, form.place) {
        Err(error) => (None, Err(error)),
        Ok(stage) => {
            let stage = stage.observed_by(agent_client).lasting(lasts);
            let outcome = (scenario.trigger)(&stage);
            (Some(stage), outcome)
        }
    }
}

/// What the kernel counted in all the lab's namespaces together, of these counters.
///
/// # Errors
/// When the counters cannot be read.
pub fn totals(
    runs: &[ScenarioRun],
    counters: impl IntoIterator<Item = &'static str>,
) -> Result<BTreeMap<&'static str, u64>, Error> {
    let mut totals: BTreeMap<&'static str, u64> =
        counters.into_iter().map(|counter| (counter, 0)).collect();
    for host in runs.iter().flat_map(ScenarioRun::hosts) {
        let counters = host.counters()?;
        for (counter, total) in &mut totals {
            *total += counters.get(counter);
        }
    }
    Ok(totals)
}
