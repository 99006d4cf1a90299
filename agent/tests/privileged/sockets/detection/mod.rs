//! The time to detect that a reader predicts, beside the moment at which the kernel gives the connection up: many
//! settings, all at once, read again and again while they die.
//!
//! A prediction holds if it is not shorter than the kernel's, and at most one timer longer:
//! - *Not shorter*: kernel timers are never early, but late by up to an eighth of their length (kernel/time/timer.c), on
//!   whatever machine. A connection may outlive its prediction by an eighth of the timers that are left, the running one
//!   in its whole length, and by [`READING`].
//! - *One timer* is the last pause that was seen before the death, and at least the connection's first RTO: the
//!   tail-loss probe's timer cannot be distinguished from the first timeout's.
//!
//! When a connection died is known to lie between two looks at it. A slow machine makes that span longer, and so does a
//! death observed late; neither fails the test. A reading during which a timer fired is left out.

use std::{
    collections::BTreeSet,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use halfopen::{options::Options, sockets::Reader};
use halfopen_core::model::{
    connection::{Connection, State},
    detection::{Detection, detect},
};
use halfopen_lab::net::{host::NetnsLifetime, pair::Pair};

mod observed;
mod rows;
mod stage;
mod sums;

use observed::Observed;
use rows::{HOSTS, Kind, Row, Sysctl};
use stage::{PORT, Staged};

/// What a jiffy's grain, a processor that is busy, and the time between two reads of the socket make up for.
const READING: Duration = Duration::from_millis(60);

/// Between two looks at every connection.
const LOOK: Duration = Duration::from_millis(5);

/// Between two readings.
const PERIOD: Duration = Duration::from_millis(200);

/// Everything is dead by then.
const LIMIT: Duration = Duration::from_secs(50);

/// A prediction, and between which moments it was read.
#[derive(Debug)]
struct Prediction {
    from: Instant,
    to: Instant,
    left: Duration,
    connection: Connection,
    /// How long the timer had run.
    run: Duration,
    /// [`Observed::fired`] before and after.
    looks: [usize; 2],
}

impl Prediction {
    /// Whether nothing but the settings was asked for: before the first probe the figure supposes that the peer was
    /// heard just now.
    fn is_posture(&self, row: &Row) -> bool {
        let probes = self.connection.outstanding.map_or(0, |it| it.probes);
        matches!(row.kind, Kind::Idle(..)) && probes == 0
    }
}

/// One row while it dies.
struct Running {
    staged: Staged,
    observed: Observed,
    predictions: Vec<Prediction>,
}

fn exists(sysctl: &str) -> bool {
    Path::new("/proc/sys/net").join(sysctl).exists()
}

/// Connections of all rows, dying.
fn stage() -> (Vec<Pair>, Vec<Running>) {
    let pairs: Vec<Pair> = HOSTS
        .iter()
        .enumerate()
        .map(|(number, host)| {
            let name = format!("detect{number}");
            let pair = Pair::new(&name, host.family, NetnsLifetime::Thread).unwrap();
            for Sysctl(name, value) in host.sysctls.iter().filter(|it| exists(it.0)) {
                pair.client.sysctl(name, value).unwrap();
            }
            pair
        })
        .collect();
    // Idle connections last: they should have been heard of just now.
    let mut staged: Vec<(usize, Staged)> = Vec::new();
    let listeners: Vec<_> = pairs
        .iter()
        .zip(HOSTS)
        .map(|(pair, host)| stage::listen(pair, host.family))
        .collect();
    for idle in [false, true] {
        for (number, host) in HOSTS.iter().enumerate() {
            // Without its limit a row takes too long.
            let rows = host.rows.iter().zip(PORT + 1..).filter(|(row, _)| {
                let has_limit = exists("ipv4/tcp_rto_max_ms");
                (has_limit || !host.needs_rto_max && row.rto_max.is_none())
                    && matches!(row.kind, Kind::Idle(..)) == idle
            });
            staged.extend(rows.map(|(row, port)| {
                let opened =
                    Staged::open(&pairs[number], host.family, &listeners[number], row, port);
                (number, opened)
            }));
        }
    }
    for (pair, host) in pairs.iter().zip(HOSTS) {
        if host.is_cut_at_client {
            pair.drop_at_client().unwrap();
        } else {
            pair.drop_at_server().unwrap();
        }
    }
    let running = staged.into_iter().map(|(number, mut staged)| {
        staged.trigger();
        Running {
            observed: Observed::begin(&staged, number),
            staged,
            predictions: Vec::new(),
        }
    });
    let running = running.collect();
    (pairs, running)
}

/// Reads until all are dead.
fn watch(reader: &mut Reader, pairs: &[Pair], running: &mut [Running]) {
    let netns: Vec<u64> = pairs.iter().map(|it| it.client.inum().unwrap()).collect();
    let start = Instant::now();
    let mut next_reading = start;
    while running.iter().any(|it| it.observed.died.is_none()) {
        assert!(
            start.elapsed() < LIMIT,
            "alive: {:#?}",
            running
                .iter()
                .filter(|it| it.observed.died.is_none())
                .map(|it| it.staged.row)
                .collect::<Vec<_>>()
        );
        observed::look(
            pairs,
            running.iter_mut().map(|it| (&it.staged, &mut it.observed)),
        );
        if Instant::now() < next_reading {
            thread::sleep(LOOK);
            continue;
        }
        next_reading = Instant::now() + PERIOD;
        let from = Instant::now();
        let is_wanted = |it: &Connection| {
            netns.contains(&it.netns.into()) && !matches!(it.state, State::Listen | State::TimeWait)
        };
        let list = reader.list(None, usize::MAX, &is_wanted).unwrap();
        let to = Instant::now();
        let before: Vec<usize> = running.iter().map(|it| it.observed.fired).collect();
        observed::look(
            pairs,
            running.iter_mut().map(|it| (&it.staged, &mut it.observed)),
        );
        for (it, before) in running.iter_mut().zip(before) {
            let found = list.connections.iter().find(|connection| {
                u64::from(connection.netns) == netns[it.observed.host]
                    && connection.local.port() == it.staged.port
            });
            let Some(connection) = found.filter(|_| it.observed.died.is_none()) else {
                continue;
            };
            let detection = detect(connection).now(connection);
            let Ok(Detection::Within(left)) = detection else {
                panic!("{:?}: {detection:?} of {connection:#?}", it.staged.row);
            };
            it.predictions.push(Prediction {
                from,
                to,
                left,
                connection: connection.clone(),
                run: to - it.observed.fired_after,
                looks: [before, it.observed.fired],
            });
        }
    }
}

/// What is wrong with a row's predictions.
fn faults(it: &Running) -> Vec<String> {
    let row = it.staged.row;
    let [died_after, died_before] = it.observed.died.unwrap();
    let one_timer = it.observed.last_pause().max(it.observed.first_rto);
    let life = died_before - it.observed.began;
    let mut faults = Vec::new();
    let (mut early, mut late) = (0, 0);
    for (number, prediction) in it.predictions.iter().enumerate() {
        if prediction.looks[0] != prediction.looks[1] {
            continue;
        }
        let lateness = (prediction.run + prediction.left) / 8 + READING;
        let latest = prediction.to + prediction.left + lateness;
        let is_short = latest < died_after;
        let is_long = prediction.from + prediction.left > died_before + one_timer + READING;
        let is_checked = number == 0 || !prediction.is_posture(row);
        if is_short || (is_long && is_checked) {
            faults.push(format!(
                "{}, {row:?}: {} of {:?} at {:?}, dead after {:?} of its {life:?} (one timer: {one_timer:?}): {:?}, timer {:?}, RTO {:?}",
                it.observed.host,
                if is_short { "too short" } else { "too long" },
                prediction.left,
                prediction.from - it.observed.began,
                died_before - prediction.from,
                prediction.connection.outstanding,
                prediction.connection.timer,
                prediction.connection.rto,
            ));
        }
        if is_checked && prediction.from - it.observed.began < life * 2 / 5 {
            early += 1;
        } else if is_checked {
            late += 1;
        }
    }
    // A second has room for few readings on a machine that is busy.
    let is_short_lived = life < Duration::from_secs(2);
    if early + late == 0 || !is_short_lived && (early == 0 || late == 0) {
        faults.push(format!(
            "{}, {row:?}: {early} readings at the start, {late} later",
            it.observed.host
        ));
    }
    if let Some(error) = &it.observed.error
        && error.kind() != std::io::ErrorKind::TimedOut
    {
        faults.push(format!("{row:?}: {error}"));
    }
    faults
}

#[test]
#[ignore = "needs root"]
fn what_is_predicted_is_what_the_kernel_does() {
    let mut reader = Reader::open(&Options::default()).unwrap();
    assert!(matches!(reader, Reader::Walk { .. }));
    let (pairs, mut running) = stage();
    assert!(running.len() >= 30, "{} rows", running.len());
    watch(&mut reader, &pairs, &mut running);
    let kinds: BTreeSet<_> = running.iter().map(|it| it.staged.row.kind.name()).collect();
    assert_eq!(kinds.len(), Kind::NAMES.len(), "{kinds:?}");
    for it in &running {
        let first = it.predictions.first().map(|it| it.left);
        println!(
            "{}, {:?}: lived {:?}, first predicted {first:?}, {} readings, last pause {:?}",
            it.observed.host,
            it.staged.row,
            it.observed.died.unwrap()[1] - it.observed.began,
            it.predictions.len(),
            it.observed.last_pause(),
        );
    }
    let faults: Vec<String> = running.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
