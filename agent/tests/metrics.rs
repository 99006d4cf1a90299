//! The text of /metrics for known snapshots.
//! It must never need a kernel: a snapshot in, text out.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use halfopen::{
    metrics::{self, CONNECTIONS, PROCESS, Process, TABLE},
    model::snapshot::{Coverage, Direction, Snapshot, Walk},
};
use support::{golden, group, rich};

fn text(snapshot: Snapshot) -> String {
    metrics::text(Arc::new(snapshot), None).unwrap()
}

#[test]
fn rich_snapshot() {
    golden("rich.prom", &text(rich()));
}

#[test]
fn empty_snapshot() {
    golden("empty.prom", &text(Snapshot::default()));
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
    let text = metrics::text(Arc::default(), Some(process)).unwrap();
    let process: String = text
        .lines()
        .filter(|line| line.contains("process_"))
        .map(|line| format!("{line}\n"))
        .collect();
    golden("process.prom", &process);
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
            deaths: unseen(),
            suspects: unseen(),
        },
        walk: Walk::Failed("the kernel refused".into()),
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
    snapshot.walk = Walk::NotYet;
    assert!(!text(snapshot).contains("nginx.service"));
}

#[test]
fn large_counts_are_whole_numbers() {
    let mut snapshot = rich();
    snapshot.records = 1 << 53;
    assert!(text(snapshot).contains("\nhalfopen_records 9007199254740992\n"));
}

#[test]
fn names_are_declared_once_and_well_formed() {
    let declared = TABLE
        .iter()
        .chain(CONNECTIONS)
        .map(|metric| (metric.name, metric.help, metric.kind))
        .chain(
            PROCESS
                .iter()
                .map(|metric| (metric.name, metric.help, metric.kind)),
        );
    let mut names = Vec::new();
    for (name, help, kind) in declared {
        assert!(!names.contains(&name), "{name} is declared twice");
        assert_eq!(
            name.ends_with("_total"),
            kind == metrics::Kind::Counter,
            "{name}"
        );
        assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
        names.push(name);
    }
}
