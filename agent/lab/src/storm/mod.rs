//! The storm: thousands of connections die of every cause at once, and each is accounted for.
//! It must never end before the kernel says that all has happened and the agent's account has settled.

mod books;
mod deeds;
mod field;
mod fronts;
mod ledger;
mod open;
mod play;
mod sums;
mod verdict;

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    Error, certificates::Certificates, exposition::Metrics, http::Origin, interrupt, judge::Policy,
    report::Report, session,
};
use field::Field;
use fronts::FRONTS;

/// How long nothing more may happen before the storm is judged as it is: the longest pause of any timer
/// that the fronts set, many times over.
const STILL: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Beside one end of each connection: fewer than half of them leave a silent peer behind, the rest is
/// for those that are about to die, for listeners, hosts and pipes.
const DESCRIPTORS_BESIDE: u64 = 1_000;

/// How much, and in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storm {
    /// All fronts together.
    pub connections: u32,
    /// From the first to the last; where the machine cannot keep up it takes longer.
    pub lasts: Duration,
}

/// Lets the storm pass before the agent at `origin`, and judges what it counted; `policy` is as for the
/// scenarios.
///
/// # Errors
/// When the agent does not answer, or the lab cannot work at all.
pub fn run(origin: &Origin, storm: Storm, policy: Option<Policy>) -> Result<Report, Error> {
    allow_descriptors(storm)?;
    let fields = fields(storm)?;
    // After that: a namespace that is gone may have had the number of one of these.
    let before = Metrics::parse(&origin.text("/metrics")?)?;
    let arrived = Certificates::ask_number(origin)?;
    let policy = policy.unwrap_or_else(|| session::implied(&before));
    let outcomes = play(&fields, storm.lasts);
    interrupt::check()?;
    wait_for_the_kernel(&fields)?;
    let ports = field::ports();
    session::settle(|| {
        // In this order: what has a certificate has been counted.
        let certificates = Certificates::ask_matching(origin, arrived, &ports)?;
        let text = origin.text("/metrics")?;
        let after = Metrics::parse(&text)?;
        let evidence = verdict::Evidence {
            before: &before,
            after: &after,
            arrived_before: arrived,
            certificates: &certificates,
        };
        Ok(Report {
            rows: verdict::rows(&fields, &outcomes, &evidence, policy)?,
            hooks: after.hooks(),
            metrics: text,
        })
    })
}

/// Raises the limit of open descriptors, as far as there is need.
fn allow_descriptors(storm: Storm) -> Result<(), Error> {
    let wanted = u64::from(storm.connections) + DESCRIPTORS_BESIDE;
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

fn fields(storm: Storm) -> Result<Vec<Field>, Error> {
    thread::scope(|scope| {
        let building = (0..).zip(&FRONTS).map(|(index, front)| {
            scope.spawn(move || Field::new(index, front, front.of(storm.connections)))
        });
        // All of them begin before the first is waited for.
        let building: Vec<_> = building.collect();
        let built = building.into_iter().map(|thread| {
            let gone = || Err(Error::HostGone("of a front of the storm".to_owned()));
            thread.join().unwrap_or_else(|_| gone())
        });
        built.collect()
    })
}

/// Every front at once; how each went.
fn play(fields: &[Field], lasts: Duration) -> Vec<Result<(), Error>> {
    let start = Instant::now();
    thread::scope(|scope| {
        let playing = fields
            .iter()
            .map(|field| scope.spawn(move || field.play(start, lasts)));
        let playing: Vec<_> = playing.collect();
        let played = playing.into_iter().zip(fields).map(|(thread, field)| {
            let gone = || Err(Error::HostGone(format!("of front {}", field.front.name)));
            thread.join().unwrap_or_else(|_| gone())
        });
        played.collect()
    })
}

/// Waits until all that was done has come to its end, or nothing has happened for long.
fn wait_for_the_kernel(fields: &[Field]) -> Result<(), Error> {
    let mut last = (Instant::now(), Vec::new());
    loop {
        interrupt::check()?;
        let (mut over, mut counters) = (true, Vec::new());
        for field in fields {
            over &= field.is_over()?;
            counters.push(field.counters()?);
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
