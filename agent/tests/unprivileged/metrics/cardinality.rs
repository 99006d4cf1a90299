//! The budget of series, checked by counting the lines of the text that a scrape gets.

use std::{array, collections::BTreeMap, sync::Arc, time::Duration};

use crate::fixtures::snapshot::{all_readings, group, rich};
use halfopen::serve::exposition;
use halfopen_core::{
    metrics::{
        Format, MOST_HOOKS, Sections,
        cardinality::{Budget, Limits, SeriesBounds, Shown},
    },
    model::{
        accounting::{Balance, HostCounter, KernelCounter},
        census::{Census, Sums},
        connection::{AcceptQueue, Direction, Setting, State},
        death::{Cause, Path, silences::Silence},
        detection::{Bucket, DetectionPath},
        fixture::Random,
        group::{Counts, Group, IdleTimes, Suspects},
        hook::{HookStatus, Mechanism},
        liveness::{Evidence, Guard, Liveness},
        ports::PortUse,
        snapshot::{Snapshot, WalkStatus},
    },
};

/// Lines that are samples.
fn series(snapshot: Snapshot) -> usize {
    let readings = all_readings(snapshot);
    let text = exposition::write(&readings, Sections::ALL, Format::Text).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// Everything that has no group, as full as it can be: each hook with its figures, each cause with its
/// histogram, each counter, each map, each state of orphans.
fn ungrouped() -> Snapshot {
    let names: [&str; MOST_HOOKS] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    ];
    let mut snapshot = rich();
    let hooks = names.map(|hook| HookStatus {
        hook,
        purpose: "",
        mechanism: Some(Mechanism::Tracepoint),
        refused: Vec::new(),
        runs: Some(1),
        run_time: Some(Duration::from_secs(1)),
        misses: Some(1),
        verified_instructions: Some(1),
    });
    snapshot.hooks = hooks.into();
    snapshot.silences = Cause::ALL.map(|cause| (cause, Silence::default())).into();
    snapshot.accounting = KernelCounter::ALL
        .map(|counter| (counter, Balance::default()))
        .into();
    snapshot.host_counters = HostCounter::ALL.map(|counter| (counter, 1)).into();
    snapshot.losses.map_full = ["sockets", "births", "listeners", "groups", "namespaces"]
        .map(|map| (map, 1))
        .into();
    let WalkStatus::Done(walked) = &mut snapshot.walk else {
        panic!("a walk is part of everything");
    };
    walked.census = Arc::new(Census {
        orphaned: State::ALL.map(|state| (state, 1)).into(),
        unplaced_ports: Some(1),
        ..Census::default()
    });
    snapshot.groups.clear();
    snapshot.suspects.clear();
    snapshot
}

#[test]
fn series_without_a_group_fit_into_their_share() {
    // The ratio of unknown deaths is there with a death alone, and has no group either.
    let needed = series(ungrouped()) + 1;
    let bounds = SeriesBounds::of_declared();
    assert!(needed <= bounds.ungrouped, "{needed} of {bounds:?}");
    // What is set aside is not there for groups.
    assert!(bounds.ungrouped < needed + 20, "{needed} of {bounds:?}");
}

/// Some of all, each with a count that may be 0.
fn some<K: Ord, const N: usize>(random: &mut Random, all: [K; N]) -> BTreeMap<K, u64> {
    let odds = 1 + random.below(3);
    let keys = all.into_iter();
    keys.filter_map(|key| (random.below(odds) == 0).then(|| (key, random.below(3))))
        .collect()
}

/// Owners that come and go, some with names that nobody else may bear.
fn some_group(random: &mut Random, second: u64) -> Group {
    let owner = match random.below(12) {
        0 => String::new(),
        1 => "other".to_owned(),
        2 => "unknown".to_owned(),
        3 => format!("evil\"\n\\{}", random.below(3)),
        _ => format!("{}.service", second / 4 + random.below(60)),
    };
    let direction = Direction::ALL[usize::try_from(random.below(3)).unwrap()];
    let port = [None, Some(80), Some(443), Some(65_535)];
    let port = port[usize::try_from(random.below(4)).unwrap()];
    group(&owner, direction, port)
}

fn some_counts(random: &mut Random) -> Counts {
    Counts {
        keepalive_probes: random.below(3),
        keepalive_probes_answered: random.below(3),
        window_probes: random.below(3),
        window_probes_answered: random.below(3),
        retransmission_timeouts: random.below(3),
        resets_received: random.below(3),
        resets_sent: some(random, reasons()),
        deaths: some(random, Cause::ALL),
        deaths_by_path: some(random, Path::ALL),
        deaths_inferred: random.below(3),
        syn_cookies_sent: random.below(3),
        syn_cookies_validated: random.below(3),
        connects_without_port: random.below(3),
        idle_before_close: IdleTimes {
            counts: array::from_fn(|_| random.below(2)),
            sum: Duration::ZERO,
        },
        recoveries: some(random, Evidence::ALL),
    }
}

fn some_sums(random: &mut Random) -> Sums {
    Sums {
        states: some(random, State::ALL),
        suspects: some(random, Evidence::ALL),
        idle: some(random, Guard::ALL),
        stalled: random.below(3),
        stale_close_wait: random.below(3),
        stale_fin_wait2: random.below(3),
        embryonic: random.below(3),
        accept_queue: AcceptQueue {
            held: random.below(3),
            limit: random.below(3),
            listeners: random.below(3),
        },
        memory: some(random, Liveness::ALL.map(Liveness::as_str)),
        keepalive: some(random, Setting::ALL),
        detectable: some(random, detections()),
        ports: PortUse::new(random.below(3), 1, u16::try_from(random.below(3)).unwrap()),
    }
}

fn detections() -> [(DetectionPath, Bucket); 16] {
    let [idle, data] = DetectionPath::ALL.map(|path| Bucket::ALL.map(|bucket| (path, bucket)));
    array::from_fn(|index| *idle.iter().chain(&data).nth(index).unwrap())
}

/// As many as the kernel has names for (enum sk_rst_reason, Linux 6.12), and `unknown`.
fn reasons() -> [String; 27] {
    array::from_fn(|index| format!("reason{index}"))
}

/// Groups of every kind, in histories in which owners come, count, are emptied and leave.
#[test]
fn no_history_exceeds_the_series() {
    for (seed, max_series, max_groups) in [
        (1, 2_000, 200),
        (2, 2_000, usize::MAX),
        (3, 1_000, 200),
        (4, SeriesBounds::of_declared().least(), 200),
        (5, 5_000, 3),
    ] {
        let mut random = Random::new(seed);
        let limits = Limits {
            max_series,
            max_groups,
            time_to_live: Duration::from_secs(7),
            ..Limits::default()
        };
        let mut budget = Budget::new(limits);
        let mut counted: BTreeMap<Group, Counts> = BTreeMap::new();
        let (mut fullest, mut folded) = (0, 0);
        for second in 0..30 {
            let now = Duration::from_secs(second);
            for _ in 0..random.below(200) {
                let (group, counts) = (some_group(&mut random, second), some_counts(&mut random));
                counted.entry(group).or_default().add(&counts);
            }
            let (mut sums, mut suspects) = (BTreeMap::new(), Suspects::new());
            for _ in 0..random.below(200) {
                sums.insert(some_group(&mut random, second), some_sums(&mut random));
                let group = some_group(&mut random, second);
                suspects.insert(group, some(&mut random, Evidence::ALL));
            }
            let all = Shown {
                counts: counted.clone(),
                sums,
                suspects,
            };
            let shown = budget.show(all, |owner| owner.len() % 2 == 0, now);
            let lines = series(snapshot(shown));
            assert!(
                lines <= max_series,
                "{seed}: {lines} of {max_series} at {second}"
            );
            (fullest, folded) = (fullest.max(lines), folded.max(budget.folded()));
            let gone = counted.keys().filter(|group| budget.is_gone(group, now));
            for group in gone.cloned().collect::<Vec<_>>() {
                budget.depart(&group, &counted.remove(&group).unwrap());
            }
        }
        println!("{seed}: {fullest} series of {max_series} at most, {folded} groups folded");
        assert!(folded > 30, "{seed}: there was room for all");
    }
}

/// The fullest that there is, with these groups.
fn snapshot(shown: Shown) -> Snapshot {
    let mut snapshot = ungrouped();
    if let WalkStatus::Done(walked) = &mut snapshot.walk {
        walked.census = Arc::new(Census {
            groups: shown.sums,
            orphaned: walked.census.orphaned.clone(),
            ..Census::default()
        });
    }
    snapshot.groups = shown.counts;
    snapshot.suspects = shown.suspects;
    snapshot
}
