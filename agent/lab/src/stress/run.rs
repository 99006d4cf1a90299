//! Runs the stress test until the kernel has seen all of it and the agent's counts have settled.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    Error,
    classify::{assessment::Exactness, settle::settle},
    interrupt,
    observe::{deaths::DeathRecords, exposition::Metrics, http::Origin},
    report::SelftestReport,
    stress::{
        cases::CASES,
        fixture::{self, Fixture},
        rows,
    },
};

/// How long nothing more may happen before the stress test is assessed as it is: the longest pause of any timer
/// that the cases set, many times over.
const STILL: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Beside one end of each connection: fewer than half of them leave a silent peer behind, the rest is
/// for those that are about to die, for listeners, hosts and pipes.
const DESCRIPTORS_BESIDE: u64 = 1_000;

/// How much, and in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StressTest {
    /// All cases together.
    pub connections: u32,
    /// From the first to the last; where the machine cannot keep up it takes longer.
    pub lasts: Duration,
}

/// Runs the stress test while the agent at `origin` observes, and compares what it counted; `exactness` is as
/// for the scenarios.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(
    origin: &Origin,
    test: StressTest,
    exactness: Option<Exactness>,
) -> Result<SelftestReport, Error> {
    allow_descriptors(test)?;
    let fixtures = fixtures(test)?;
    // After that: a namespace that is gone may have had the number of one of these.
    let before = Metrics::parse(&origin.text("/metrics")?)?;
    let arrived = DeathRecords::ask_number(origin)?;
    let exactness = exactness.unwrap_or_else(|| Exactness::implied(&before));
    let outcomes = play(&fixtures, test.lasts);
    interrupt::check()?;
    wait_for_the_kernel(&fixtures)?;
    let ports = fixture::ports();
    let assess = || {
        // In this order: what has a death record has been counted.
        let records = DeathRecords::ask_matching(origin, arrived, &ports)?;
        let text = origin.text("/metrics")?;
        let after = Metrics::parse(&text)?;
        let answers = rows::AgentAnswers {
            before: &before,
            after: &after,
            arrived_before: arrived,
            records: &records,
        };
        Ok(SelftestReport {
            rows: rows::rows(&fixtures, &outcomes, &answers, exactness)?,
            hooks: after.hooks(),
            metrics: text,
        })
    };
    settle(assess, SelftestReport::counts_as, SelftestReport::grade)
}

/// Raises the limit of open descriptors, as far as there is need.
fn allow_descriptors(test: StressTest) -> Result<(), Error> {
    let wanted = u64::from(test.connections) + DESCRIPTORS_BESIDE;
    let raise = || {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if soft >= wanted {
            return Ok(());
        }
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
    };
    raise().map_err(|source: nix::Error| Error::System {
        tried: format!("allow {wanted} open descriptors"),
        source: source.into(),
        help: "raise this shell's hard limit (ulimit -Hn), or ask for fewer connections",
    })
}

fn fixtures(test: StressTest) -> Result<Vec<Fixture>, Error> {
    thread::scope(|scope| {
        let building = (0..).zip(&CASES).map(|(index, case)| {
            scope.spawn(move || Fixture::new(index, case, case.of(test.connections)))
        });
        // All of them begin before the first is waited for.
        let building: Vec<_> = building.collect();
        let built = building.into_iter().map(|thread| {
            let gone = || Err(Error::HostGone("of a stress case".to_owned()));
            thread.join().unwrap_or_else(|_| gone())
        });
        built.collect()
    })
}

/// Every case at once; how each went.
fn play(fixtures: &[Fixture], lasts: Duration) -> Vec<Result<(), Error>> {
    let start = Instant::now();
    thread::scope(|scope| {
        let playing = fixtures
            .iter()
            .map(|fixture| scope.spawn(move || fixture.play(start, lasts)));
        let playing: Vec<_> = playing.collect();
        let played = playing.into_iter().zip(fixtures).map(|(thread, fixture)| {
            let gone = || {
                Err(Error::HostGone(format!(
                    "of stress case {}",
                    fixture.case.name
                )))
            };
            thread.join().unwrap_or_else(|_| gone())
        });
        played.collect()
    })
}

/// Waits until all that was done has come to its end, or nothing has happened for long.
fn wait_for_the_kernel(fixtures: &[Fixture]) -> Result<(), Error> {
    let mut last = (Instant::now(), Vec::new());
    loop {
        interrupt::check()?;
        let (mut over, mut counters) = (true, Vec::new());
        for fixture in fixtures {
            over &= fixture.is_over()?;
            counters.push(fixture.counters()?);
        }
        if counters != last.1 {
            last = (Instant::now(), counters);
        }
        if over || last.0.elapsed() > STILL {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
}
