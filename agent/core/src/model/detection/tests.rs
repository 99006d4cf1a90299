//! Times to detect against what scenarios.md observed and what the kernel's source says.

use std::{sync::Arc, time::Duration};

use super::{
    Bucket, Detection, Detection::Never, Detection::Within, Paths, backoff::backed_off, detect,
};
use crate::model::{
    connection::{
        Connection, Known, Limits, Outstanding, Policy, State, Timer, TimerKind, Unknown,
    },
    liveness::fixture::{established, keepalive, milliseconds, seconds},
};

mod data;
mod handshake;

const NOT_OF_THIS_KIND: Known<Detection> = Err(Unknown::NotOfThisKind);

fn check(connection: &Connection, idle: Known<Detection>, data: Known<Detection>) {
    assert_eq!(detect(connection), Paths { idle, data }, "{connection:#?}");
}

/// Kernel timers are never early, and an eighth late at most; observed times are rounded.
fn check_observed(detection: Known<Detection>, observed: Duration) {
    let Ok(Within(after)) = detection else {
        panic!("{detection:?}, observed {observed:?}");
    };
    assert!(
        after <= observed + milliseconds(50) && observed <= after + after / 8 + milliseconds(100),
        "{after:?}, observed {observed:?}"
    );
}

fn policy(change: impl FnOnce(&mut Policy)) -> Known<Arc<Policy>> {
    let mut policy = Policy::default();
    change(&mut policy);
    Ok(Arc::new(policy))
}

fn retries2(retries2: u32) -> Connection {
    established().with(|it| it.policy = policy(|it| it.retries2 = retries2))
}

fn guarded(idle: u64, interval: u64, probes: u32) -> Connection {
    established().with(|it| it.keepalive = Ok(keepalive(idle, interval, probes)))
}

impl Connection {
    fn user_timeout(self, after: Duration) -> Self {
        self.with(|it| it.user_timeout = Ok(Some(after)))
    }

    fn in_flight(self, send_window: u64) -> Self {
        self.with_outstanding(Outstanding {
            packets_out: 1,
            send_window,
            ..Outstanding::default()
        })
    }

    /// The peer's window is closed; the timer, at this back-off, was set by the peer's latest answer just now.
    fn window_closed(self, backoff: u32) -> Self {
        let pause = backed_off(self.rto.unwrap(), backoff, Limits::RTO_MAX);
        self.with_outstanding(Outstanding {
            unsent: 300_000,
            backoff,
            ..Outstanding::default()
        })
        .with(|it| it.timer = timer_of(TimerKind::Persist, pause))
    }

    /// With a timer of this kind that has so much left.
    fn timer(self, kind: TimerKind, left: Duration) -> Self {
        self.with(|it| it.timer = timer_of(kind, left))
    }
}

fn timer_of(kind: TimerKind, left: Duration) -> Known<Option<Timer>> {
    Ok(Some(Timer { kind, left }))
}

#[test]
fn scenario_6_no_keepalive() {
    assert_eq!(detect(&established()).idle, Ok(Never));
    let with_user_timeout = established().user_timeout(seconds(5));
    assert_eq!(detect(&with_user_timeout).idle, Ok(Never));
}

#[test]
fn scenarios_7_to_10_keepalive() {
    let cases = [
        // The kernel's defaults.
        (guarded(7200, 75, 9), milliseconds(0), seconds(7875)),
        (guarded(5, 3, 3), milliseconds(0), seconds(14)),
        (guarded(1, 11, 3), seconds(5), seconds(12)),
        (guarded(1, 11, 3), milliseconds(12_500), seconds(23)),
        (guarded(1, 11, 3), seconds(60), seconds(67)),
        (guarded(1, 11, 3), seconds(30), seconds(34)),
        // Reached to the second, and far below the first firing.
        (guarded(1, 11, 3), seconds(12), seconds(12)),
        (guarded(10, 11, 3), seconds(1), seconds(21)),
        // Settings of 0: no probe before the peer is dead; a probe each jiffy.
        (guarded(5, 3, 0), milliseconds(0), seconds(5)),
        (guarded(5, 0, 3), milliseconds(0), seconds(5)),
        (guarded(5, 0, 3), seconds(8), seconds(8)),
        (guarded(0, 0, 0), milliseconds(0), seconds(0)),
        (guarded(0, 3, 2), milliseconds(0), seconds(6)),
    ];
    for (connection, user_timeout, expected) in cases {
        let connection = connection.user_timeout(user_timeout);
        assert_eq!(
            detect(&connection).idle,
            Ok(Within(expected)),
            "{user_timeout:?}"
        );
    }
    let observed = [
        (guarded(5, 3, 3), milliseconds(14_300)),
        (
            guarded(1, 11, 3).user_timeout(seconds(5)),
            milliseconds(12_200),
        ),
        (
            guarded(1, 11, 3).user_timeout(milliseconds(12_500)),
            milliseconds(23_100),
        ),
        (
            guarded(1, 11, 3).user_timeout(seconds(60)),
            milliseconds(67_200),
        ),
        (
            guarded(1, 11, 3).user_timeout(seconds(30)),
            milliseconds(34_300),
        ),
    ];
    for (connection, observed) in observed {
        check_observed(detect(&connection).idle, observed);
    }
}

#[test]
fn keepalive_with_probes_out_has_what_is_left() {
    // 5 s, then each 3 s: two probes are out, the silence was 8 s when the second was sent.
    let probed = |probes, left| {
        let connection = guarded(5, 3, 3).timer(TimerKind::Keepalive, milliseconds(left));
        let outstanding = Outstanding {
            probes,
            ..Outstanding::default()
        };
        let silence = seconds(5 + 3 * u64::from(probes)) - milliseconds(left);
        connection.with_outstanding(outstanding).silent_for(silence)
    };
    let cases = [
        (probed(1, 2_900), 0, 2_900 + 2 * 3_000),
        (probed(2, 1_000), 0, 1_000 + 3_000),
        (probed(3, 1), 0, 1),
        // More than now allowed: the settings were changed meanwhile.
        (probed(9, 700), 0, 700),
        // TCP_USER_TIMEOUT: at the firing that finds it reached, 8 s, 11 s or 14 s after the peer was heard.
        (probed(1, 500), 7_000, 500),
        (probed(1, 500), 8_000, 500),
        (probed(1, 500), 8_001, 3_500),
        (probed(2, 500), 13_000, 3_500),
    ];
    for (connection, user_timeout, expected) in cases {
        let connection = connection.user_timeout(milliseconds(user_timeout));
        let expected = Ok(Within(milliseconds(expected)));
        assert_eq!(detect(&connection).idle, expected, "{connection:#?}");
    }
}

/// Buckets rest on it: however long a connection has been idle, the figure is that of its settings.
#[test]
fn keepalive_before_the_first_probe_does_not_wobble() {
    for idle in [0, 1_000, 4_999] {
        let connection = guarded(5, 3, 3)
            .silent_for(milliseconds(idle))
            .timer(TimerKind::Keepalive, milliseconds(5_000 - idle));
        assert_eq!(detect(&connection).idle, Ok(Within(seconds(14))));
    }
}

#[test]
fn states_without_a_path() {
    for state in [State::Listen, State::Close] {
        check(
            &guarded(1, 1, 1).in_state(state),
            NOT_OF_THIS_KIND,
            NOT_OF_THIS_KIND,
        );
    }
    let time_wait = established().in_state(State::TimeWait).with(|it| {
        it.keepalive = Err(Unknown::NotOfThisKind);
        it.outstanding = Err(Unknown::NotOfThisKind);
    });
    check(&time_wait, Ok(Within(seconds(60))), NOT_OF_THIS_KIND);
    let half_over = time_wait.with(|it| it.timer = timer_of(TimerKind::TimeWait, seconds(31)));
    check(&half_over, Ok(Within(seconds(31))), NOT_OF_THIS_KIND);
}

#[test]
fn fin_wait2() {
    let held = guarded(5, 3, 3).in_state(State::FinWait2);
    check(&held, Ok(Within(seconds(14))), NOT_OF_THIS_KIND);
    let unguarded = established().in_state(State::FinWait2);
    check(&unguarded, Ok(Never), NOT_OF_THIS_KIND);
    let orphan = unguarded.orphaned();
    check(&orphan, Ok(Within(seconds(60))), NOT_OF_THIS_KIND);
    let timer = orphan
        .clone()
        .with(|it| it.timer = timer_of(TimerKind::Keepalive, seconds(7)));
    check(&timer, Ok(Within(seconds(7))), NOT_OF_THIS_KIND);
    // tcp_fin_timeout = 90: the last 30 s as a TIME_WAIT socket.
    let long = timer.with(|it| it.policy = policy(|it| it.fin_timeout = seconds(90)));
    check(&long, Ok(Within(seconds(37))), NOT_OF_THIS_KIND);
    let kept = established().in_state(State::FinWait2).with(|it| {
        it.timer = timer_of(TimerKind::TimeWait, seconds(12));
        it.policy = Err(Unknown::NamespaceUnread);
    });
    check(&kept, Ok(Within(seconds(12))), NOT_OF_THIS_KIND);
}

#[test]
fn what_is_unknown_is_no_figure() {
    let diag = Err(Unknown::NotInSockDiag);
    let unread = Err(Unknown::NamespaceUnread);
    let idle_default = Ok(Within(seconds(14)));
    let data = detect(&established()).data;
    let known = || guarded(5, 3, 3);
    check(&known(), idle_default, data);
    let no_keepalive = known().with(|it| it.keepalive = Err(Unknown::NotInSockDiag));
    check(&no_keepalive, diag, data);
    let no_user_timeout = known().with(|it| it.user_timeout = Err(Unknown::NotInSockDiag));
    check(&no_user_timeout, diag, diag);
    let no_policy = known().with(|it| it.policy = Err(Unknown::NamespaceUnread));
    check(&no_policy, idle_default, unread);
    let no_rto = known().with(|it| it.rto = Err(Unknown::NotOnThisKernel));
    check(&no_rto, idle_default, Err(Unknown::NotOnThisKernel));
    let no_outstanding = known().with(|it| it.outstanding = Err(Unknown::NotInSockDiag));
    check(&no_outstanding, idle_default, diag);
    // Keepalive is off: that is enough to know. TCP_USER_TIMEOUT is a bound without the policy.
    let off = established().with(|it| it.user_timeout = Err(Unknown::NotInSockDiag));
    check(&off, Ok(Never), diag);
    let bounded = no_policy.user_timeout(seconds(20));
    check(
        &bounded,
        Ok(Within(seconds(20))),
        Ok(Within(milliseconds(20_408))),
    );
    let window = bounded.window_closed(0);
    assert_eq!(detect(&window).data, Ok(Within(milliseconds(20_204))));
    for state in [State::SynSent, State::SynRecv] {
        let handshake = established().in_state(state);
        let handshake = handshake.with(|it| it.policy = Err(Unknown::NamespaceUnread));
        check(&handshake, unread, unread);
    }
    let orphan = established().in_state(State::FinWait2).orphaned();
    let orphan = orphan.with(|it| it.policy = Err(Unknown::NamespaceUnread));
    check(&orphan, unread, NOT_OF_THIS_KIND);
}

#[test]
fn extremes_do_not_panic() {
    let extreme = Policy {
        retries2: u32::MAX,
        orphan_retries: u32::MAX,
        syn_retries: u32::MAX,
        synack_retries: u32::MAX,
        fin_timeout: Duration::MAX,
        ..Policy::default()
    };
    for state in State::ALL {
        for rto in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            for orphaned in [false, true] {
                for unsent in [0_u32, 1] {
                    let connection = guarded(u64::MAX, u64::MAX, u32::MAX).in_state(state);
                    let connection = connection.with(|it| {
                        it.orphaned = orphaned;
                        it.rto = Ok(rto);
                        it.rtt = Ok(rto);
                        it.last_ack = Ok(rto);
                        it.timer = timer_of(TimerKind::Persist, rto);
                        it.policy = Ok(Arc::new(extreme));
                        it.limits = Ok(Limits {
                            rto_max: rto,
                            syn_retries: Some(u32::MAX),
                        });
                        it.outstanding = Ok(Outstanding {
                            packets_out: 1 - unsent,
                            unsent: unsent.into(),
                            retransmits: u32::MAX,
                            backoff: u32::MAX,
                            probes: u32::MAX,
                            retransmitting_for: Some(rto),
                            probing_for: Some(rto),
                            ..Outstanding::default()
                        });
                    });
                    let _ = detect(&connection);
                    let _ = detect(&connection.user_timeout(Duration::MAX));
                }
            }
        }
    }
}

#[test]
fn the_path_that_applies_now() {
    let paths = Paths {
        idle: Ok(Never),
        data: Ok(Within(seconds(1))),
    };
    let unsent = Outstanding {
        unsent: 1,
        ..Outstanding::default()
    };
    let blind = established().with(|it| it.outstanding = Err(Unknown::NotInSockDiag));
    let cases = [
        (established(), paths.idle),
        (established().in_flight(1), paths.data),
        (established().with_outstanding(unsent), paths.data),
        (
            established().in_state(State::CloseWait).in_flight(1),
            paths.data,
        ),
        (established().in_state(State::SynSent), paths.data),
        (established().in_state(State::SynRecv), paths.data),
        (established().in_state(State::FinWait1), paths.data),
        (established().in_state(State::Closing), paths.data),
        (established().in_state(State::LastAck), paths.data),
        (established().in_state(State::FinWait2), paths.idle),
        (blind.clone().in_state(State::TimeWait), paths.idle),
        (blind.clone(), Err(Unknown::NotInSockDiag)),
    ];
    for (connection, expected) in cases {
        assert_eq!(paths.now(&connection), expected, "{connection:#?}");
    }
    let same = Paths::both(Ok(Never));
    assert_eq!(same.now(&blind), Ok(Never), "either path");
}

#[test]
fn buckets_are_disjoint_and_complete() {
    let cases = [
        (Within(Duration::ZERO), "30s"),
        (Within(seconds(30)), "30s"),
        (Within(milliseconds(30_001)), "1m"),
        (Within(seconds(60)), "1m"),
        (Within(seconds(300)), "5m"),
        (Within(seconds(900)), "15m"),
        (Within(milliseconds(928_904)), "1h"),
        (Within(seconds(3600)), "1h"),
        (Within(seconds(7875)), "3h"),
        (Within(seconds(10_800)), "3h"),
        (Within(seconds(10_801)), "longer"),
        (Within(Duration::MAX), "longer"),
        (Never, "never"),
    ];
    for (detection, expected) in cases {
        assert_eq!(detection.bucket().as_str(), expected, "{detection:?}");
    }
    let labels = Bucket::ALL.map(Bucket::as_str);
    assert_eq!(
        labels,
        ["30s", "1m", "5m", "15m", "1h", "3h", "longer", "never"]
    );
}
