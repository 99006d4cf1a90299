//! The text of /metrics for known snapshots.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::fixtures::{
    golden,
    snapshot::{all_readings, group, rich},
};
use halfopen::serve::exposition;
use halfopen_core::{
    metrics::{self, Format, Kind, LABELS, Process, Readings, Scrapes, Section, Sections, Values},
    model::{
        connection::Direction,
        coverage::Coverage,
        snapshot::{Snapshot, WalkStatus},
    },
};

fn text(snapshot: Snapshot) -> String {
    let readings = Readings {
        snapshot: Arc::new(snapshot),
        ..Readings::default()
    };
    exposition::write(&readings, Sections::ALL, Format::Text).unwrap()
}

/// The text of one section, of which the snapshot knows nothing.
fn own(readings: Readings, section: Section) -> String {
    exposition::write(&readings, Sections::only(&[section]), Format::Text).unwrap()
}

#[test]
fn rich_snapshot() {
    golden("metrics/rich.prom", &text(rich()));
}

#[test]
fn empty_snapshot() {
    golden("metrics/empty.prom", &text(Snapshot::default()));
}

#[test]
fn process() {
    let process = Process {
        cpu_seconds: Some(1.5),
        resident_bytes: Some(12_345_678),
        virtual_bytes: Some(123_456_789),
        start_seconds: Some(1_700_000_000.25),
        threads: Some(4),
        open_fds: Some(40),
        max_fds: None,
    };
    let readings = Readings {
        process: Some(process),
        ..Readings::default()
    };
    golden("metrics/process.prom", &own(readings, Section::Process));
}

#[test]
fn scrapes() {
    let scrapes = Scrapes {
        answered: [7, 1, 0, 2],
        plain_bytes: 1_000,
        gzip_bytes: 300,
        in_flight: 1,
        snapshot_duration: Some(Duration::from_micros(2_500)),
    };
    let readings = Readings {
        scrapes: Some(scrapes),
        ..Readings::default()
    };
    golden("metrics/scrapes.prom", &own(readings, Section::Scrapes));
}

#[test]
fn sections_are_told_apart_and_make_up_all() {
    let readings = Readings {
        snapshot: Arc::new(rich()),
        process: Some(Process {
            threads: Some(4),
            ..Process::default()
        }),
        scrapes: Some(Scrapes::default()),
    };
    let write = |sections| exposition::write(&readings, sections, Format::Text).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let everything = lines(&write(Sections::ALL));
    let mut together = BTreeSet::new();
    for section in Section::ALL {
        let alone = lines(&write(Sections::only(&[section])));
        let rest = lines(&write(Sections::without(&[section])));
        assert!(!alone.is_empty(), "{section:?}");
        assert!(alone.is_disjoint(&rest), "{section:?}");
        assert_eq!(&alone | &rest, everything, "{section:?}");
        together.extend(alone);
    }
    assert_eq!(together, everything);
    assert_eq!(write(Sections::only(&[])), "");
}

#[test]
fn unknown_is_never_zero() {
    let unseen = || Err("its hook is missing".to_owned());
    let snapshot = Snapshot {
        coverage: Coverage {
            keepalive_probes: unseen(),
            window_probes: unseen(),
            retransmission_timeouts: unseen(),
            resets_received: unseen(),
            resets_sent: unseen(),
            netfilter_resets: unseen(),
            deaths: unseen(),
            syn_cookies: unseen(),
            connects_without_port: unseen(),
            suspects: unseen(),
        },
        walk: WalkStatus::Failed("the kernel refused".into()),
        ..rich()
    };
    let text = text(snapshot);
    assert!(!text.contains("direction="), "{text}");
    assert!(!text.contains("halfopen_deaths_total"), "{text}");
    // A counter that was not compared, and statistics that were not read, are not there.
    assert!(!text.contains("TCPAbortOnTimeout"), "{text}");
    assert!(
        !text.contains("halfopen_hook_misses_total{hook=\"tcp_send_active_reset\"}"),
        "{text}"
    );
}

#[test]
fn each_kind_of_count_is_left_out_alone() {
    let mut snapshot = rich();
    snapshot.coverage.window_probes = Err("its hook is missing".into());
    let text = text(snapshot);
    assert!(!text.contains("halfopen_window_probes"), "{text}");
    assert!(text.contains("halfopen_keepalive_probes_total"), "{text}");
}

#[test]
fn hostile_labels_are_escaped() {
    let mut snapshot = rich();
    let counts = snapshot.groups.pop_first().unwrap().1;
    let owner = "a\"b\\c\nd{}=,\u{7f}é\0";
    snapshot.groups = BTreeMap::from([(group(owner, Direction::Inbound, Some(1)), counts)]);
    let text = text(snapshot);
    let line = text
        .lines()
        .find(|line| line.starts_with("halfopen_keepalive_probes_total{"))
        .unwrap();
    let escaped = "a\\\"b\\\\c\\nd{}=,\u{7f}é\0";
    let expected = format!(
        "halfopen_keepalive_probes_total{{owner=\"{escaped}\",direction=\"inbound\",port=\"1\"}} 3"
    );
    assert_eq!(line, expected);
    // Every line is a comment or a sample: nothing has broken out of its line.
    assert!(
        text.lines()
            .all(|line| line.starts_with("# ") || line.contains("halfopen_"))
    );
}

#[test]
fn vanished_series_vanish() {
    let before = text(rich());
    assert!(before.contains("nginx.service"));
    let mut snapshot = rich();
    snapshot.groups.retain(|group, _| group.owner.is_empty());
    snapshot.walk = WalkStatus::NotYet;
    assert!(!text(snapshot).contains("nginx.service"));
}

/// Suspects come from the hooks, all else in these sections from the walk.
#[test]
fn what_a_walk_found_is_shown_with_its_age_or_not_at_all() {
    let shown = |walk: WalkStatus| {
        let text = text(Snapshot { walk, ..rich() });
        let of_walk = |name: &str| {
            let section = metrics::declared().into_iter().find(|it| it.name == name);
            let section = section.map(|it| it.section);
            matches!(section, Some(Section::Connections | Section::Walk))
                && name != "halfopen_suspect_connections"
        };
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter(|line| of_walk(line.split(['{', ' ']).next().unwrap()));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    let WalkStatus::Done(mut walked) = rich().walk else {
        panic!("a walk is part of everything");
    };
    walked.age = Duration::from_secs(7);
    let of_this_walk = shown(WalkStatus::Done(walked));
    let names: BTreeSet<_> = of_this_walk
        .iter()
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    assert_eq!(names.len(), 18, "{names:?}");
    assert!(of_this_walk.contains(&"halfopen_walk_age_seconds 7".to_owned()));
    assert_eq!(shown(WalkStatus::NotYet), Vec::<String>::new());
    let failed = WalkStatus::Failed("the kernel refused".into());
    assert_eq!(shown(failed), Vec::<String>::new());
}

#[test]
fn large_counts_are_whole_numbers() {
    let mut snapshot = rich();
    snapshot.records = 1 << 53;
    assert!(text(snapshot).contains("\nhalfopen_records 9007199254740992\n"));
}

#[test]
fn what_is_no_number_is_left_out() {
    let mut snapshot = rich();
    snapshot.groups.clear();
    let text = text(snapshot);
    assert!(!text.contains("halfopen_deaths_unknown_ratio"), "{text}");
    assert!(!text.to_lowercase().contains("nan"), "{text}");
}

#[test]
fn names_are_declared_once_and_well_formed() {
    let declared = metrics::declared();
    assert!(declared.len() > 50, "{}", declared.len());
    let mut names = BTreeSet::new();
    for metric in &declared {
        let (name, help, unit) = (metric.name, metric.help, metric.unit);
        assert!(names.insert(name), "{name} is declared twice");
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
        // A name that says its unit says the one that is declared.
        for base in ["seconds", "bytes", "ratio"] {
            let stem = name.trim_end_matches("_total");
            assert_eq!(
                stem.ends_with(&format!("_{base}")),
                unit == base,
                "{name}: {unit}"
            );
        }
    }
    // OpenMetrics takes `_total` from the names of counters, and they must still differ.
    let stems = names.iter().map(|name| name.trim_end_matches("_total"));
    assert_eq!(stems.collect::<BTreeSet<_>>().len(), names.len());
    for section in Section::ALL {
        assert!(
            declared.iter().any(|metric| metric.section == section),
            "{section:?}"
        );
    }
}

/// The series of a text, as names and labels without escapes: none of these snapshots has any.
fn series(text: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split(',');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        (
            name,
            pairs
                .map(|(label, value)| (label, value.trim_matches('"')))
                .collect(),
        )
    })
}

#[test]
fn what_is_declared_is_what_is_written() {
    let readings = all_readings(rich());
    let text = exposition::write(&readings, Sections::ALL, Format::Text).unwrap();
    let declared = metrics::declared();
    let names: BTreeSet<String> = declared
        .iter()
        .flat_map(metrics::Declared::series)
        .collect();
    let written = series(&text).map(|(name, _)| name.to_owned());
    assert_eq!(written.collect::<BTreeSet<_>>(), names);
    for (name, labels) in series(&text) {
        let metric = declared
            .iter()
            .find(|metric| metric.series().iter().any(|series| series == name));
        let names: Vec<_> = labels
            .iter()
            .map(|(label, _)| *label)
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(names, metric.unwrap().labels, "{name}");
        for (label, value) in labels {
            if let Some(Values::OneOf(values)) =
                metrics::values(label, |beside| metric.unwrap().labels.contains(&beside))
            {
                assert!(
                    values().iter().any(|known| known == value),
                    "{name}: {label} {value:?}"
                );
            }
        }
    }
}

#[test]
fn every_label_has_a_meaning_and_every_meaning_a_label() {
    let declared = metrics::declared();
    let used: BTreeSet<_> = declared
        .iter()
        .flat_map(|metric| metric.labels)
        .copied()
        .collect();
    let explained: Vec<_> = LABELS.iter().map(|label| label.name).collect();
    assert_eq!(explained.iter().copied().collect::<BTreeSet<_>>(), used);
    assert_eq!(explained.len(), used.len(), "a label is explained twice");
}
