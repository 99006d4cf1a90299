//! Plays scenarios, all at once, each in network namespaces of its own.
//! It must never judge: it tells what the kernel counted, or why a scenario could not be played.

use std::{collections::BTreeMap, sync::Arc, thread};

use crate::{
    Counters, Error, Host,
    judgement::Seen,
    scenarios::{self, Form, JUDGED, Scenario},
    stage::Stage,
    witness::Witness,
};

/// A scenario that was played; its namespaces live as long as this.
#[derive(Debug)]
pub struct Performance {
    /// Which.
    pub scenario: &'static Scenario,
    /// In which form.
    pub form: Form,
    /// The server's port.
    pub port: u16,
    /// Whether it could be played to its end.
    pub outcome: Result<(), Error>,
    stage: Option<Stage>,
}

impl Performance {
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

    /// How the agent judged it, where one did.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.stage.as_ref().map(Stage::seen).unwrap_or_default()
    }
}

/// Plays those with one of these numbers, or all if there are none, before an agent's eyes if there
/// is one; returns when the last has ended.
#[must_use]
pub fn perform(numbers: &[u16], witness: Option<&Arc<Witness>>) -> Vec<Performance> {
    let chosen = scenarios::all().filter(|s| numbers.is_empty() || numbers.contains(&s.number));
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
                    scope.spawn(move || play(scenario, form, port, witness.cloned())),
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
                Performance {
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

fn play(
    scenario: &Scenario,
    form: Form,
    port: u16,
    witness: Option<Arc<Witness>>,
) -> (Option<Stage>, Result<(), Error>) {
    match Stage::new(port, form.family, form.setting) {
        Err(error) => (None, Err(error)),
        Ok(stage) => {
            let stage = stage.before(witness);
            let outcome = (scenario.trigger)(&stage);
            (Some(stage), outcome)
        }
    }
}

/// What the kernel counted in all the lab's namespaces together, of the counters judged.
///
/// # Errors
/// When the counters cannot be read.
pub fn totals(performances: &[Performance]) -> Result<BTreeMap<&'static str, u64>, Error> {
    let mut totals: BTreeMap<&'static str, u64> = JUDGED.map(|counter| (counter, 0)).into();
    for host in performances.iter().flat_map(Performance::hosts) {
        let counters = host.counters()?;
        for (counter, total) in &mut totals {
            *total += counters.get(counter);
        }
    }
    Ok(totals)
}
