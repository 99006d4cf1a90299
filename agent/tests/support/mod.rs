//! What several tests share: a snapshot with everything in it, and golden files.
//! It must never look at the machine: tests of views need no root and no kernel.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use halfopen_core::model::{
    census::{Census, Sums},
    connection::{Setting, State},
    detection::Bucket,
    judged::Source,
    liveness::{Evidence, Guard},
    snapshot::{
        Balance, Build, Cause, Counts, Coverage, Direction, Group, HookStatus, KernelCounter,
        Losses, Mechanism, Namespaces, Silence, Snapshot, Walk, Walked,
    },
};

/// A snapshot that has something of everything.
pub fn rich() -> Snapshot {
    Snapshot {
        groups_folded: 3,
        groups: BTreeMap::from([
            (group("", Direction::Outbound, Some(5432)), outbound()),
            (
                group("nginx.service", Direction::Inbound, Some(443)),
                inbound(),
            ),
            (group("", Direction::None, None), stray()),
        ]),
        suspects: BTreeMap::from([(
            group("", Direction::Outbound, Some(5432)),
            BTreeMap::from([(Evidence::Keepalive, 2)]),
        )]),
        walk: Walk::Done(Walked {
            census: Arc::new(census()),
            age: Duration::from_millis(1500),
            duration: Duration::from_millis(12),
            cut_short: 1,
            source: Source::Tables,
        }),
        coverage: Coverage::default(),
        accounting: BTreeMap::from([
            (KernelCounter::TcpKeepAlive, balance(10, 9, 1)),
            (KernelCounter::TcpWinProbe, balance(4, 4, 0)),
            (KernelCounter::OutRsts, balance(7, 7, 0)),
        ]),
        hooks: hooks(),
        silences: BTreeMap::from([
            (
                Cause::Keepalive,
                silence([0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0], 39_500),
            ),
            (
                Cause::Unknown,
                silence([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 20_000_400),
            ),
        ]),
        losses: Losses {
            events_dropped: 2,
            certificates_lost: 1,
            records_stale: 5,
            events_unreadable: 4,
            map_full: BTreeMap::from([("records", 3)]),
            groups_overflowed: 0,
        },
        namespaces: Namespaces { seen: 5, unseen: 1 },
        records: 12,
        build: Build {
            version: "0.1.0".into(),
            revision: "0123456789ab".into(),
            kernel: "6.12.94".into(),
        },
    }
}

pub fn group(owner: &str, direction: Direction, port: Option<u16>) -> Group {
    Group {
        owner: owner.into(),
        direction,
        port,
    }
}

fn census() -> Census {
    let zombies = Sums {
        states: BTreeMap::from([(State::Established, 9), (State::CloseWait, 3)]),
        suspects: BTreeMap::from([(Evidence::Keepalive, 1)]),
        idle: BTreeMap::from([(Guard::None, 4)]),
        stale_close_wait: 2,
        memory: BTreeMap::from([("healthy", 9_216), ("idle_unguarded", 9_728)]),
        keepalive: BTreeMap::from([(Setting::Off, 10), (Setting::Custom, 2)]),
        detectable: BTreeMap::from([(Bucket::Seconds30, 2), (Bucket::Never, 10)]),
        ..Sums::default()
    };
    let listener = Sums {
        states: BTreeMap::from([(State::Listen, 1), (State::SynRecv, 5)]),
        embryonic: 5,
        ..Sums::default()
    };
    Census {
        groups: BTreeMap::from([
            (group("", Direction::Outbound, Some(5432)), zombies),
            (
                group("nginx.service", Direction::Inbound, Some(443)),
                listener,
            ),
        ]),
        orphaned: BTreeMap::from([(State::FinWait1, 7)]),
        sockets: 18,
        ..Census::default()
    }
}

fn outbound() -> Counts {
    Counts {
        keepalive_probes: 3,
        resets_sent: BTreeMap::from([("tcp_keepalive_timeout".into(), 1)]),
        deaths: BTreeMap::from([(Cause::Keepalive, 1)]),
        ..Counts::default()
    }
}

fn inbound() -> Counts {
    Counts {
        keepalive_probes: 6,
        keepalive_probes_answered: 5,
        window_probes: 4,
        window_probes_answered: 4,
        retransmission_timeouts: 8,
        resets_received: 2,
        resets_sent: BTreeMap::from([("tcp_abort_on_close".into(), 2), ("unknown".into(), 1)]),
        deaths: BTreeMap::from([(Cause::ResetReceived, 2), (Cause::Unknown, 1)]),
        recoveries: BTreeMap::from([(Evidence::Keepalive, 1), (Evidence::WindowProbe, 0)]),
    }
}

fn silence(deaths: [u64; 11], sum_ms: u64) -> Silence {
    Silence {
        deaths,
        sum: Duration::from_millis(sum_ms),
    }
}

fn stray() -> Counts {
    Counts {
        resets_sent: BTreeMap::from([("no_socket".into(), 3)]),
        ..Counts::default()
    }
}

fn balance(kernel: u64, counted: u64, unaccounted: u64) -> Balance {
    Balance {
        kernel,
        counted,
        unaccounted,
        ..Balance::default()
    }
}

fn hooks() -> Vec<HookStatus> {
    vec![
        HookStatus {
            hook: "tcp_xmit_probe_skb",
            purpose: "keepalive and window probes sent",
            mechanism: Some(Mechanism::Fentry),
            refused: Vec::new(),
            runs: Some(13),
            run_time: Some(Duration::from_micros(4)),
            misses: Some(0),
            verified_instructions: Some(412),
        },
        HookStatus {
            hook: "tcp_send_active_reset",
            purpose: "resets sent, with their reason",
            mechanism: Some(Mechanism::Tracepoint),
            refused: vec![
                (Mechanism::Fentry, "attaching was refused: Operation not permitted (os error 1); this kernel does not allow BPF trampolines".into()),
                (Mechanism::Kprobe, "/sys/bus/event_source/devices/kprobe is not there: the kernel was built without kprobes".into()),
            ],
            runs: None,
            run_time: None,
            misses: None,
            verified_instructions: Some(1234),
        },
        HookStatus {
            hook: "tcp_retransmit_timer",
            purpose: "retransmission timeouts",
            mechanism: None,
            refused: vec![(Mechanism::Tracepoint, "no such tracepoint".into())],
            runs: None,
            run_time: None,
            misses: None,
            verified_instructions: None,
        },
    ]
}

/// Compares with a golden file; with BLESS=1 in the environment the file is written instead.
pub fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert_eq!(
        actual,
        expected,
        "{} differs; BLESS=1 writes it anew",
        path.display()
    );
}
