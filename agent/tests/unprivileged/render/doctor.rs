//! The doctor's report for known findings.

use crate::fixtures::{golden, snapshot::rich};
use halfopen_core::render::doctor::{Fact, Privilege, Report, json, text};

fn healthy() -> Report {
    let mut snapshot = rich();
    snapshot.coverage.retransmission_timeouts =
        Err("the hook on tcp_retransmit_timer is missing: no such tracepoint".into());
    Report {
        version: "0.1.0".into(),
        kernel: "6.12.94".into(),
        uid: Some(0),
        privileges: vec![
            privilege("CAP_BPF", "load BPF programs and maps", Some(true)),
            privilege(
                "CAP_DAC_READ_SEARCH",
                "reach what other users own in /proc and tracefs, at length",
                Some(false),
            ),
            privilege("CAP_SYSLOG", "addresses of kernel functions", None),
        ],
        facts: vec![
            Fact {
                key: "btf",
                title: "type information (BTF)",
                found: Ok("/sys/kernel/btf/vmlinux, 5120 KiB".into()),
            },
            Fact {
                key: "bpf_stats",
                title: "BPF statistics",
                found: Err(
                    "/proc/sys/kernel/bpf_stats_enabled cannot be read (No such file or directory)"
                        .into(),
                ),
            },
        ],
        attached: Ok(snapshot),
    }
}

fn privilege(name: &'static str, purpose: &'static str, held: Option<bool>) -> Privilege {
    Privilege {
        name,
        purpose,
        held,
    }
}

fn powerless() -> Report {
    Report {
        uid: Some(65534),
        privileges: vec![privilege(
            "CAP_BPF",
            "load BPF programs and maps",
            Some(false),
        )],
        attached: Err(
            "cannot load BPF programs: CAP_BPF and CAP_PERFMON are missing; run as root".into(),
        ),
        ..healthy()
    }
}

#[test]
fn for_people() {
    golden("doctor/doctor.txt", &text(&healthy()));
    golden("doctor/powerless.txt", &text(&powerless()));
}

#[test]
fn for_programs() {
    golden("doctor/doctor.json", &json(&healthy()).unwrap());
    golden("doctor/powerless.json", &json(&powerless()).unwrap());
}

#[test]
fn fits_80_columns() {
    for report in [healthy(), powerless()] {
        for line in text(&report).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn works_only_with_a_hook() {
    assert!(healthy().works());
    assert!(!powerless().works());
    let mut none = healthy();
    none.attached
        .as_mut()
        .unwrap()
        .hooks
        .retain(|hook| hook.mechanism.is_none());
    assert!(!none.works());
}
