//! One run: all programs at once while an agent observes, then every count is compared. A program that is not
//! there is reported, with the reason.

use std::{collections::BTreeMap, path::Path, thread};

use halfopen_lab::{
    Error,
    classify::{
        assessment::{Assessment, Exactness},
        counterparts::{kernel_counterparts, unseen_events},
        expectations::ACCOUNTED,
        settle::{Grade, settle},
        totals::{self, LabTotals},
    },
    observe::{
        deaths::DeathRecords,
        exposition::{self, Metrics},
        http::Origin,
    },
};

use crate::{
    catalog::ALL,
    counts::{self, ProgramCounts},
    error::ProgramError,
    perform::{self, DeadConnection},
    program::Program,
};

/// What came of a program.
#[derive(Debug)]
pub enum ProgramOutcome {
    /// It is not there, and why.
    Missing(String),
    /// It could not be played to its end.
    Failed(ProgramError),
    /// Its connection died.
    Compared(Assessment),
}

/// Why there is nothing to compare.
enum Absent {
    Missing(String),
    Failed(ProgramError),
}

impl From<Absent> for ProgramOutcome {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::Missing(why) => Self::Missing(why),
            Absent::Failed(error) => Self::Failed(error),
        }
    }
}

/// What came of all.
#[derive(Debug)]
pub struct ProgramsReport {
    /// By program.
    pub programs: Vec<(Program, ProgramOutcome)>,
    /// The host's totals.
    pub totals: Assessment,
}

/// Lets the peers of all programs in this root vanish, and compares what the agent at `origin` counted.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(origin: &Origin, root: &Path) -> Result<ProgramsReport, Error> {
    let before = Metrics::parse(&origin.text("/metrics")?)?;
    let latest = DeathRecords::ask_number(origin)?;
    let exactness = Exactness::implied(&before);
    let mut played = Vec::new();
    let mut others = Vec::new();
    for (program, outcome) in play(root) {
        match outcome {
            Ok(performance) => played.push((program, performance)),
            Err(absent) => others.push((program, absent.into())),
        }
    }
    let assess = || {
        let state = AgentState {
            before: &before,
            after: Metrics::parse(&origin.text("/metrics")?)?,
            records: DeathRecords::ask(origin, latest)?,
        };
        state.compare(&played, exactness)
    };
    let is_same = |last: &Vec<_>, now: &Vec<_>| essence(last) == essence(now);
    let assessments = settle(assess, is_same, |all| grade(all))?;
    Ok(ProgramsReport::new(&played, others, assessments))
}

fn grade(assessments: &[Assessment]) -> Grade {
    let any = |of: fn(&Assessment) -> &Vec<String>| assessments.iter().any(|a| !of(a).is_empty());
    if any(|assessment| &assessment.wrong) {
        Grade::Wrong
    } else if any(|assessment| &assessment.short) {
        Grade::Short
    } else {
        Grade::Right
    }
}

impl ProgramsReport {
    fn new(
        played: &[(Program, DeadConnection)],
        others: Vec<(Program, ProgramOutcome)>,
        mut assessments: Vec<Assessment>,
    ) -> Self {
        let totals = assessments.pop().unwrap_or_default();
        let compared = played.iter().zip(assessments);
        let compared = compared
            .map(|((program, _), assessment)| (*program, ProgramOutcome::Compared(assessment)));
        Self {
            programs: compared.chain(others).collect(),
            totals,
        }
    }
}

/// What must not change any more; of the totals, to which all of the host adds, only whether they are
/// right.
fn essence(assessments: &[Assessment]) -> impl PartialEq + use<> {
    let state =
        |assessment: &Assessment| (assessment.wrong.is_empty(), assessment.short.is_empty());
    let programs = assessments
        .split_last()
        .map_or(&[][..], |(_, programs)| programs);
    let figures = programs
        .iter()
        .map(|assessment| (assessment.counted.clone(), assessment.kernel.clone()));
    (
        figures.collect::<Vec<_>>(),
        assessments.iter().map(state).collect::<Vec<_>>(),
    )
}

/// Starts all, and only then cuts them off: starting takes the machine's whole attention, and a peer
/// must vanish within its program's idle time.
fn play(root: &Path) -> Vec<(Program, Result<DeadConnection, Absent>)> {
    let started = at_once(ALL, |program| {
        let missing = program.missing(root);
        let started = match missing {
            Some(why) => Err(Absent::Missing(why)),
            None => perform::start(&program, root).map_err(Absent::Failed),
        };
        (program, started)
    });
    at_once(started, |(program, started)| {
        let played = started.and_then(|started| started.die().map_err(Absent::Failed));
        (program, played)
    })
}

fn at_once<T: Send, U: Send>(
    parts: impl IntoIterator<Item = T>,
    job: impl Fn(T) -> U + Sync,
) -> Vec<U> {
    let job = &job;
    thread::scope(|scope| {
        let running: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || job(part)))
            .collect();
        let done = running.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect()
    })
}

/// What an agent has at one moment.
struct AgentState<'a> {
    before: &'a Metrics,
    after: Metrics,
    records: DeathRecords,
}

impl AgentState<'_> {
    /// One verdict a program, and the one of the totals last.
    fn compare(
        &self,
        played: &[(Program, DeadConnection)],
        exactness: Exactness,
    ) -> Result<Vec<Assessment>, Error> {
        let mut lab = ACCOUNTED.map(|counter| (counter, 0, 0));
        let mut assessments = Vec::new();
        for (program, performance) in played {
            let counts = self.counts(program, performance)?;
            for (counter, kernel, counted) in &mut lab {
                *kernel += counts.kernel.iter().map(|c| c.get(counter)).sum::<u64>();
                let all = counts.agent.values().flat_map(kernel_counterparts);
                let mine = all.filter(|(name, _)| name == counter);
                *counted += mine.map(|(_, count)| count).sum::<u64>();
            }
            assessments.push(counts::compare(program, &counts, exactness));
        }
        let lab: BTreeMap<_, _> = lab
            .into_iter()
            .map(|(counter, kernel, counted)| (counter, LabTotals { kernel, counted }))
            .collect();
        let mut totals = totals::classify(&lab, self.before, &self.after, exactness);
        let each: Vec<_> = assessments.iter().collect();
        totals.wrong.extend(unseen_events(&each));
        assessments.push(totals);
        Ok(assessments)
    }

    fn counts(
        &self,
        program: &Program,
        performance: &DeadConnection,
    ) -> Result<ProgramCounts, Error> {
        let ports = [Some(program.port), program.behind.map(|behind| behind.port)];
        let mut agent = BTreeMap::new();
        for port in ports.into_iter().flatten() {
            for direction in ["inbound", "outbound"] {
                let [before, after] =
                    [self.before, &self.after].map(|m| m.of_port(direction, port));
                agent.insert((direction, port), exposition::since(&before, &after));
            }
        }
        let netns = performance.netns()?;
        Ok(ProgramCounts {
            kernel: performance.counters()?,
            agent,
            records: self.records.of("inbound", program.port, netns),
        })
    }
}
