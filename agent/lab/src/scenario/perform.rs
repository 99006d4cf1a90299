//! Plays scenarios, all at once, each in network namespaces of its own.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

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

/// One scenario in one of its forms.
#[derive(Debug, Clone, Copy)]
pub struct ScenarioPart {
    scenario: &'static Scenario,
    /// Index of its forms.
    form: usize,
}

impl ScenarioPart {
    /// Those of the table with one of these numbers, or all if there are none.
    #[must_use]
    pub fn with_numbers(numbers: &[u16]) -> Vec<Self> {
        let chosen = table::all().filter(|s| numbers.is_empty() || numbers.contains(&s.number));
        chosen.flat_map(Self::of).collect()
    }

    /// Those of connections that live on.
    #[must_use]
    pub fn living() -> Vec<Self> {
        minute::SCENARIOS.iter().flat_map(Self::of).collect()
    }

    fn of(scenario: &'static Scenario) -> impl Iterator<Item = Self> {
        (0..scenario.forms.len()).map(move |form| Self { scenario, form })
    }

    /// The server's port.
    #[must_use]
    pub fn port(self) -> u16 {
        self.scenario.port(self.form)
    }
}

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
    /// From when to when.
    pub played: (Instant, Instant),
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

/// Plays these, all at once, observed by an agent if there is one; returns when the last has ended. Connections
/// that live on do so for as long as `lasts`.
#[must_use]
pub fn perform(
    parts: &[ScenarioPart],
    lasts: Duration,
    agent_client: Option<&Arc<AgentClient>>,
) -> Vec<ScenarioRun> {
    let new = |part: ScenarioPart| {
        let ScenarioPart { scenario, form } = part;
        let form = scenario.forms[form];
        let port = part.port();
        let stage = Stage::new(port, form.family, form.place)
            .map(|stage| stage.observed_by(agent_client.cloned()).lasting(lasts));
        let (stage, outcome) = match stage {
            Ok(stage) => (Some(stage), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let now = Instant::now();
        ScenarioRun {
            scenario,
            form,
            port,
            outcome,
            played: (now, now),
            stage,
        }
    };
    // Every namespace first: while hundreds are made, a slow machine answers no SYN within its first timeout.
    let prepared = side_by_side(parts.iter().copied(), new);
    side_by_side(prepared.into_iter(), |mut run| {
        let begun = Instant::now();
        if let Some(stage) = &run.stage {
            // A panic fails its own row, and no other.
            run.outcome = catch_unwind(AssertUnwindSafe(|| (run.scenario.trigger)(stage)))
                .unwrap_or_else(|_| {
                    let label = run.scenario.label();
                    Err(Error::HostGone(format!("of scenario {label}")))
                });
        }
        run.played = (begun, Instant::now());
        run
    })
}

/// Each in a thread of its own; the results in their order.
///
/// # Panics
/// When one of the threads does.
fn side_by_side<I: Send, O: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> O + Sync,
) -> Vec<O> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
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
