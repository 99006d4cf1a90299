//! Compares what must follow from a program's settings with the kernel's counts and the agent's.
//!
//! # Invariants
//!
//! A count that is too high is never excused, nor a kernel counter that differs at all.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_lab::{
    classify::{
        assessment::{Assessment, Exactness},
        expectations::COMPARED,
    },
    observe::{deaths::DeathRecord, exposition::AgentCounts, snmp::Counters},
};

use crate::program::{ExpectedCounts, Program};

/// What is known of a program whose peer vanished.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgramCounts {
    /// What its namespace counted, then its client's.
    pub(crate) kernel: [Counters; 2],
    /// What the agent counted, by direction and port.
    pub(crate) agent: BTreeMap<(&'static str, u16), AgentCounts>,
    /// The agent's death records of connections to the program.
    pub(crate) records: Vec<DeathRecord>,
}

/// Compares one program.
pub(crate) fn compare(
    program: &Program,
    counts: &ProgramCounts,
    exactness: Exactness,
) -> Assessment {
    let mut assessment = Assessment::default();
    kernel(&mut assessment, program, &counts.kernel);
    let nothing = AgentCounts::new();
    for ((direction, port), must) in expected(program) {
        let counted = counts.agent.get(&(direction, port)).unwrap_or(&nothing);
        let keys = must
            .keys()
            .copied()
            .chain(counted.keys().map(String::as_str));
        for key in keys.collect::<BTreeSet<_>>() {
            let expected = must.get(key).copied().unwrap_or(0);
            let counted = counted.get(key).copied().unwrap_or(0);
            let behind = if port == program.port { "" } else { "behind " };
            let key = format!("{direction} {behind}{key}");
            assessment.compare(&key, expected, counted, exactness);
            assessment.expected.insert(key.clone(), expected.into());
            assessment.counted.insert(key, counted.into());
        }
    }
    check_deaths(&mut assessment, program, &counts.records, exactness);
    assessment
}

/// Where the agent may count anything, and what.
fn expected(program: &Program) -> BTreeMap<(&'static str, u16), BTreeMap<&'static str, u64>> {
    let died = BTreeMap::from([
        ("keepalive_probes", program.keepalive.probes.into()),
        ("deaths{keepalive}", 1),
        ("resets_sent{tcp_keepalive_timeout}", 1),
    ]);
    let mut musts = BTreeMap::from([
        (("inbound", program.port), died),
        (("outbound", program.port), BTreeMap::new()),
    ]);
    if let Some(behind) = program.behind {
        for direction in ["inbound", "outbound"] {
            let mine = |side: &&ExpectedCounts| side.direction == direction;
            let side = behind.sides.iter().find(mine);
            let counts = side.map_or(&[][..], |side| side.counts);
            let counts = counts.iter().copied().collect();
            musts.insert((direction, behind.port), counts);
        }
    }
    musts
}

/// Counters of which the kernel's must be exact: the compared ones, and what tells kinds of ends apart.
fn exact() -> impl Iterator<Item = &'static str> {
    let kinds = ["EstabResets", "TCPAbortOnClose", "TCPAbortOnData"];
    COMPARED.into_iter().chain(kinds)
}

/// The kernel's own counters of both namespaces: this and nothing else.
fn kernel(assessment: &mut Assessment, program: &Program, counters: &[Counters; 2]) {
    let mut must = BTreeMap::from([
        ("TCPKeepAlive", program.keepalive.probes.into()),
        ("TCPAbortOnTimeout", 1),
        ("OutRsts", 1),
        ("EstabResets", 1),
    ]);
    for (counter, more) in program.behind.map_or(&[][..], |behind| behind.kernel) {
        *must.entry(counter).or_default() += more;
    }
    let nothing = BTreeMap::new();
    for (side, must, counters) in [
        ("server", &must, &counters[0]),
        ("client", &nothing, &counters[1]),
    ] {
        for counter in exact() {
            let must: u64 = must.get(counter).copied().unwrap_or(0);
            let count = counters.get(counter);
            if count != must {
                assessment.wrong.push(format!(
                    "{side} {counter}: the kernel counted {count}, the settings of {} say {must}",
                    program.name
                ));
            }
            assessment
                .kernel
                .insert(format!("{side} {counter}"), count.into());
        }
    }
}

/// The death has one record, with its cause, with the settings in force, and after a silence that
/// follows from them.
fn check_deaths(
    assessment: &mut Assessment,
    program: &Program,
    records: &[DeathRecord],
    exactness: Exactness,
) {
    let recorded = u64::try_from(records.len()).unwrap_or(u64::MAX);
    assessment.compare("certificates", 1, recorded, exactness);
    let settings = program.keepalive;
    for record in records {
        let mut differs = |what: &str, recorded: String, must: String| {
            if recorded != must {
                assessment
                    .wrong
                    .push(format!("certified {what}: {recorded}, {must} expected"));
            }
        };
        differs("cause", record.cause.clone(), "keepalive".to_owned());
        // Unknown settings are left out.
        if let Some(recorded) = &record.keepalive {
            let times = [settings.idle_s, settings.interval_s].map(|seconds| seconds * 1000);
            let recorded = (
                recorded.setting.as_str(),
                [recorded.idle_ms, recorded.interval_ms],
                recorded.probes,
            );
            let must = (settings.setting, times, settings.probes);
            differs("settings", format!("{recorded:?}"), format!("{must:?}"));
        }
        if let Some(silent) = record.silence_ms {
            let least = settings.dies_after_ms();
            if silent < least {
                differs(
                    "silence",
                    format!("{silent} ms"),
                    format!("at least {least} ms"),
                );
            }
        }
        if let Some(probes) = record.keepalive_probes {
            assessment.compare(
                "certified keepalive probes",
                settings.probes.into(),
                probes,
                exactness,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{catalog::nginx::NGINX, program::KeepaliveConfig};

    const PROBES: u64 = NGINX.keepalive.probes as u64;

    /// In the form in which the agent writes it.
    fn death_record(cause: &str, keepalive_probes: u64) -> DeathRecord {
        let record = json!({
            "number": 1, "cause": cause, "path": "idle", "netns": 1,
            "local": {"address": "192.0.2.1", "port": 7070},
            "remote": {"address": "192.0.2.2", "port": 7070},
            "state": "established", "direction": "outbound",
            "silence_ms": 14_100, "age_ms": 14_200, "keepalive": null,
            "keepalive_probes": keepalive_probes, "window_probes": 0, "retransmission_timeouts": 0,
        });
        serde_json::from_value(record).unwrap()
    }

    fn counted(probes: u64) -> ProgramCounts {
        let counts = [
            ("keepalive_probes", probes),
            ("deaths{keepalive}", 1),
            ("resets_sent{tcp_keepalive_timeout}", 1),
        ];
        let counted = counts.map(|(key, count)| (key.to_owned(), count));
        let kernel = [
            ("TCPKeepAlive", PROBES),
            ("TCPAbortOnTimeout", 1),
            ("OutRsts", 1),
            ("EstabResets", 1),
        ];
        ProgramCounts {
            kernel: [Counters::from(kernel), Counters::default()],
            agent: BTreeMap::from([(("inbound", NGINX.port), AgentCounts::from(counted))]),
            records: vec![death_record("keepalive", probes)],
        }
    }

    fn check(
        program: &Program,
        counts: &ProgramCounts,
        exactness: Exactness,
        expected: (usize, usize),
    ) {
        let assessment = compare(program, counts, exactness);
        let found = (assessment.wrong.len(), assessment.short.len());
        assert_eq!(found, expected, "{assessment:#?}");
    }

    #[test]
    fn what_follows_from_the_settings_passes() {
        check(&NGINX, &counted(PROBES), Exactness::Exact, (0, 0));
    }

    #[test]
    fn too_few_may_be_short_too_many_never() {
        check(&NGINX, &counted(PROBES - 1), Exactness::Exact, (2, 0));
        check(&NGINX, &counted(PROBES - 1), Exactness::NeverOver, (0, 2));
        check(&NGINX, &counted(PROBES + 1), Exactness::NeverOver, (2, 0));
        let mut twice = counted(PROBES);
        twice.records.push(death_record("keepalive", PROBES));
        check(&NGINX, &twice, Exactness::NeverOver, (1, 0));
    }

    #[test]
    fn another_cause_and_another_kernel_count_are_wrong() {
        let mut other = counted(PROBES);
        other.records = vec![death_record("user_timeout", PROBES)];
        check(&NGINX, &other, Exactness::NeverOver, (1, 0));
        let mut other = counted(PROBES);
        other.kernel[1] = Counters::from([("OutRsts", 1)]);
        check(&NGINX, &other, Exactness::NeverOver, (1, 0));
    }

    #[test]
    fn falsified_settings_fail() {
        let mut falsified = NGINX;
        falsified.keepalive = KeepaliveConfig {
            probes: NGINX.keepalive.probes + 1,
            ..NGINX.keepalive
        };
        check(&falsified, &counted(PROBES), Exactness::Exact, (3, 0));
        falsified.keepalive = KeepaliveConfig {
            idle_s: 100,
            ..NGINX.keepalive
        };
        check(&falsified, &counted(PROBES), Exactness::Exact, (1, 0));
    }
}
