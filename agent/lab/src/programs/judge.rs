//! Compares what must follow from a program's settings with the kernel's counts and the agent's.
//! It must never excuse a count that is too high, nor a kernel counter that differs at all.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counts, Program};
use crate::{
    Counters,
    certificates::Certificate,
    exposition::Counted,
    judge::{Policy, Verdict},
    scenarios::JUDGED,
};

/// What is known of a program whose peer vanished.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    /// What its namespace counted, then its client's.
    pub(super) kernel: [Counters; 2],
    /// What the agent counted, by direction and port.
    pub(super) agent: BTreeMap<(&'static str, u16), Counted>,
    /// What the agent certified of connections to the program.
    pub(super) certificates: Vec<Certificate>,
}

/// Judges one program.
pub(super) fn judge(program: &Program, account: &Account, policy: Policy) -> Verdict {
    let mut verdict = Verdict::default();
    kernel(&mut verdict, program, &account.kernel);
    let nothing = Counted::new();
    for ((direction, port), must) in musts(program) {
        let counted = account.agent.get(&(direction, port)).unwrap_or(&nothing);
        let keys = must
            .keys()
            .copied()
            .chain(counted.keys().map(String::as_str));
        for key in keys.collect::<BTreeSet<_>>() {
            let expected = must.get(key).copied().unwrap_or(0);
            let counted = counted.get(key).copied().unwrap_or(0);
            let behind = if port == program.port { "" } else { "behind " };
            let key = format!("{direction} {behind}{key}");
            verdict.compare(&key, expected, counted, policy);
            verdict.expected.insert(key.clone(), expected.into());
            verdict.counted.insert(key, counted.into());
        }
    }
    certified(&mut verdict, program, &account.certificates, policy);
    verdict
}

/// Where the agent may count anything, and what.
fn musts(program: &Program) -> BTreeMap<(&'static str, u16), BTreeMap<&'static str, u64>> {
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
            let mine = |side: &&Counts| side.direction == direction;
            let side = behind.sides.iter().find(mine);
            let counts = side.map_or(&[][..], |side| side.counts);
            let counts = counts.iter().copied().collect();
            musts.insert((direction, behind.port), counts);
        }
    }
    musts
}

/// Counters of which the kernel's must be exact: the judged ones, and what tells kinds of ends apart.
fn exact() -> impl Iterator<Item = &'static str> {
    let kinds = ["EstabResets", "TCPAbortOnClose", "TCPAbortOnData"];
    JUDGED.into_iter().chain(kinds)
}

/// The kernel's own counters of both namespaces: this and nothing else.
fn kernel(verdict: &mut Verdict, program: &Program, counters: &[Counters; 2]) {
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
                verdict.wrong.push(format!(
                    "{side} {counter}: the kernel counted {count}, the settings of {} say {must}",
                    program.name
                ));
            }
            verdict
                .kernel
                .insert(format!("{side} {counter}"), count.into());
        }
    }
}

/// The death is certified once, with its cause, with the settings in force, and after a silence that
/// follows from them.
fn certified(
    verdict: &mut Verdict,
    program: &Program,
    certificates: &[Certificate],
    policy: Policy,
) {
    let told = u64::try_from(certificates.len()).unwrap_or(u64::MAX);
    verdict.compare("certificates", 1, told, policy);
    let settings = program.keepalive;
    for certificate in certificates {
        let mut differs = |what: &str, told: String, must: String| {
            if told != must {
                verdict
                    .wrong
                    .push(format!("certified {what}: {told}, {must} expected"));
            }
        };
        differs("cause", certificate.cause.clone(), "keepalive".to_owned());
        // Where the agent cannot tell, it says nothing.
        if let Some(told) = &certificate.keepalive {
            let times = [settings.idle_s, settings.interval_s].map(|seconds| seconds * 1000);
            let told = (
                told.setting.as_str(),
                [told.idle_ms, told.interval_ms],
                told.probes,
            );
            let must = (settings.setting, times, settings.probes);
            differs("settings", format!("{told:?}"), format!("{must:?}"));
        }
        if let Some(silent) = certificate.silence_ms {
            let least = settings.dies_after_ms();
            if silent < least {
                differs(
                    "silence",
                    format!("{silent} ms"),
                    format!("at least {least} ms"),
                );
            }
        }
        if let Some(probes) = certificate.keepalive_probes {
            verdict.compare(
                "certified keepalive probes",
                settings.probes.into(),
                probes,
                policy,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Keepalive, nginx::NGINX},
        *,
    };

    const PROBES: u64 = NGINX.keepalive.probes as u64;

    fn account(probes: u64) -> Account {
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
        Account {
            kernel: [Counters::of(&kernel), Counters::default()],
            agent: BTreeMap::from([(("inbound", NGINX.port), Counted::from(counted))]),
            certificates: vec![Certificate::fixture("keepalive", probes)],
        }
    }

    fn check(program: &Program, account: &Account, policy: Policy, expected: (usize, usize)) {
        let verdict = judge(program, account, policy);
        let found = (verdict.wrong.len(), verdict.short.len());
        assert_eq!(found, expected, "{verdict:#?}");
    }

    #[test]
    fn what_follows_from_the_settings_passes() {
        check(&NGINX, &account(PROBES), Policy::Exact, (0, 0));
    }

    #[test]
    fn too_few_may_be_short_too_many_never() {
        check(&NGINX, &account(PROBES - 1), Policy::Exact, (2, 0));
        check(&NGINX, &account(PROBES - 1), Policy::NeverOver, (0, 2));
        check(&NGINX, &account(PROBES + 1), Policy::NeverOver, (2, 0));
        let mut twice = account(PROBES);
        twice
            .certificates
            .push(Certificate::fixture("keepalive", PROBES));
        check(&NGINX, &twice, Policy::NeverOver, (1, 0));
    }

    #[test]
    fn another_cause_and_another_kernel_count_are_wrong() {
        let mut other = account(PROBES);
        other.certificates = vec![Certificate::fixture("user_timeout", PROBES)];
        check(&NGINX, &other, Policy::NeverOver, (1, 0));
        let mut other = account(PROBES);
        other.kernel[1] = Counters::of(&[("OutRsts", 1)]);
        check(&NGINX, &other, Policy::NeverOver, (1, 0));
    }

    #[test]
    fn falsified_settings_fail() {
        let mut falsified = NGINX;
        falsified.keepalive = Keepalive {
            probes: NGINX.keepalive.probes + 1,
            ..NGINX.keepalive
        };
        check(&falsified, &account(PROBES), Policy::Exact, (3, 0));
        falsified.keepalive = Keepalive {
            idle_s: 100,
            ..NGINX.keepalive
        };
        check(&falsified, &account(PROBES), Policy::Exact, (1, 0));
    }
}
