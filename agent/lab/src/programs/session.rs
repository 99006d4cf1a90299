//! One run: all programs at once before an agent's eyes, then every count is judged.
//! It must never pass over a program that is not there: that is told, with the reason.

use std::{collections::BTreeMap, path::Path, thread, time::Instant};

use super::{
    ALL, Program,
    judge::{self, Account},
    perform::{self, Performance},
};
use crate::{
    Error,
    certificates::Certificates,
    exposition::{self, Metrics},
    http::Origin,
    interrupt,
    judge::{Policy, Verdict, counterparts, unseen},
    scenarios::JUDGED,
    session::{SCRAPE_EVERY, SETTLES_WITHIN, STAYS_RIGHT, STAYS_SHORT, STAYS_WRONG, implied},
    totals::{self, Lab},
};

/// What came of a program.
#[derive(Debug)]
pub enum Outcome {
    /// It is not there, and why.
    Missing(String),
    /// It could not be played to its end.
    Failed(Error),
    /// Its connection died.
    Judged(Verdict),
}

/// Why there is nothing to judge.
enum Absent {
    Missing(String),
    Failed(Error),
}

impl From<Absent> for Outcome {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::Missing(why) => Self::Missing(why),
            Absent::Failed(error) => Self::Failed(error),
        }
    }
}

/// What came of all.
#[derive(Debug)]
pub struct Report {
    /// By program.
    pub programs: Vec<(Program, Outcome)>,
    /// The host's totals.
    pub totals: Verdict,
}

/// Lets the peers of all programs in this root vanish, and judges what the agent at `origin` counted.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(origin: &Origin, root: &Path) -> Result<Report, Error> {
    let before = Metrics::parse(&origin.text("/metrics")?)?;
    let latest = Certificates::ask_number(origin)?;
    let policy = implied(&before);
    let mut played = Vec::new();
    let mut others = Vec::new();
    for (program, outcome) in play(root) {
        match outcome {
            Ok(performance) => played.push((program, performance)),
            Err(absent) => others.push((program, absent.into())),
        }
    }
    let start = Instant::now();
    let (mut since, mut last) = (start, None);
    loop {
        interrupt::check()?;
        let told = Told {
            before: &before,
            after: Metrics::parse(&origin.text("/metrics")?)?,
            certificates: Certificates::ask(origin, latest)?,
        };
        let verdicts = told.judge(&played, policy)?;
        let now = essence(&verdicts);
        if last.as_ref() != Some(&now) {
            (since, last) = (Instant::now(), Some(now));
        }
        let any = |of: fn(&Verdict) -> &Vec<String>| verdicts.iter().any(|v| !of(v).is_empty());
        let enough = if any(|v| &v.wrong) {
            STAYS_WRONG
        } else if any(|v| &v.short) {
            STAYS_SHORT
        } else {
            STAYS_RIGHT
        };
        if since.elapsed() >= enough || start.elapsed() > SETTLES_WITHIN {
            return Ok(Report::new(&played, others, verdicts));
        }
        thread::sleep(SCRAPE_EVERY);
    }
}

impl Report {
    fn new(
        played: &[(Program, Performance)],
        others: Vec<(Program, Outcome)>,
        mut verdicts: Vec<Verdict>,
    ) -> Self {
        let totals = verdicts.pop().unwrap_or_default();
        let judged = played.iter().zip(verdicts);
        let judged = judged.map(|((program, _), verdict)| (*program, Outcome::Judged(verdict)));
        Self {
            programs: judged.chain(others).collect(),
            totals,
        }
    }
}

/// What must not change any more; of the totals, to which all of the host adds, only whether they are
/// right.
fn essence(verdicts: &[Verdict]) -> impl PartialEq + use<> {
    let state = |verdict: &Verdict| (verdict.wrong.is_empty(), verdict.short.is_empty());
    let programs = verdicts
        .split_last()
        .map_or(&[][..], |(_, programs)| programs);
    let figures = programs
        .iter()
        .map(|verdict| (verdict.counted.clone(), verdict.kernel.clone()));
    (
        figures.collect::<Vec<_>>(),
        verdicts.iter().map(state).collect::<Vec<_>>(),
    )
}

/// Starts all, and only then cuts them off: starting takes the machine's whole attention, and a peer
/// must vanish within its program's idle time.
fn play(root: &Path) -> Vec<(Program, Result<Performance, Absent>)> {
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

/// What an agent has told.
struct Told<'a> {
    before: &'a Metrics,
    after: Metrics,
    certificates: Certificates,
}

impl Told<'_> {
    /// One verdict a program, and the one of the totals last.
    fn judge(
        &self,
        played: &[(Program, Performance)],
        policy: Policy,
    ) -> Result<Vec<Verdict>, Error> {
        let mut lab = JUDGED.map(|counter| (counter, 0, 0));
        let mut verdicts = Vec::new();
        for (program, performance) in played {
            let account = self.account(program, performance)?;
            for (counter, kernel, counted) in &mut lab {
                *kernel += account.kernel.iter().map(|c| c.get(counter)).sum::<u64>();
                let all = account.agent.values().flat_map(counterparts);
                let mine = all.filter(|(name, _)| name == counter);
                *counted += mine.map(|(_, count)| count).sum::<u64>();
            }
            verdicts.push(judge::judge(program, &account, policy));
        }
        let lab: BTreeMap<_, _> = lab
            .into_iter()
            .map(|(counter, kernel, counted)| (counter, Lab { kernel, counted }))
            .collect();
        let mut totals = totals::judge(&lab, self.before, &self.after, policy);
        let each: Vec<_> = verdicts.iter().collect();
        totals.wrong.extend(unseen(&each));
        verdicts.push(totals);
        Ok(verdicts)
    }

    fn account(&self, program: &Program, performance: &Performance) -> Result<Account, Error> {
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
        Ok(Account {
            kernel: performance.counters()?,
            agent,
            certificates: self.certificates.of("inbound", program.port, netns),
        })
    }
}
