//! The path with data: retransmission, a closed window, and their limits.

use super::{check, check_observed, policy, retries2};
use crate::model::{
    connection::{Limits, Outstanding, State, TimerKind},
    detection::{Detection::Within, detect},
    liveness::fixture::{established, milliseconds, seconds},
};

#[test]
fn scenarios_11_and_12_data_into_silence() {
    check_observed(detect(&retries2(5)).data, milliseconds(13_400));
    let data = detect(&retries2(5).user_timeout(seconds(5))).data;
    check_observed(data, milliseconds(5_400));
    let data = detect(&retries2(5).user_timeout(seconds(3))).data;
    check_observed(data, milliseconds(3_400));
}

#[test]
fn the_limit_of_data_is_that_of_the_kernel() {
    // Documentation/networking/ip-sysctl.rst: tcp_retries2 = 15 is "a hypothetical timeout of 924.6
    // seconds and is a lower bound for the effective timeout", which is the first RTO past it: from
    // 0.408 s on after 0.408 × (1 + 2 + … + 256) s, then each 120 s.
    let default = milliseconds(408 + 408 * 511 + 6 * 120_000);
    assert_eq!(detect(&established()).data, Ok(Within(default)));
    // tcp_orphan_retries = 0 is 8: (2 << 8) − 1 times 0.2 s are 102.2 s, reached by 0.408 × 255.
    let orphan = Ok(Within(milliseconds(408 + 408 * 255)));
    for state in [State::FinWait1, State::Closing, State::LastAck] {
        check(&established().in_state(state).orphaned(), orphan, orphan);
        check(
            &established().in_state(state),
            Ok(Within(default)),
            Ok(Within(default)),
        );
    }
    // tcp_orphan_retries = 1: 0.6 s, reached by 0.408 + 0.816.
    let one = established().in_state(State::LastAck).orphaned();
    let one = one.with(|it| it.policy = policy(|it| it.orphan_retries = 1));
    assert_eq!(detect(&one).data, Ok(Within(milliseconds(408 + 408 + 816))));
    // tcp_retries2 = 0: 0.2 s, reached by the timeout after the first.
    assert_eq!(detect(&retries2(0)).data, Ok(Within(milliseconds(816))));
    // An RTO of exactly 200 ms misses 12.6 s by 0.2 s, and must wait for one more.
    let exact = retries2(5).with(|it| it.rto = Ok(milliseconds(200)));
    assert_eq!(
        detect(&exact).data,
        Ok(Within(milliseconds(400 + 400 * 63)))
    );
}

/// The first timeout 408 ms after the data, then pauses of 408, 816, … ms, the stamp from the first timeout.
#[test]
fn what_is_spent_on_retransmissions_is_off() {
    let after = |timeouts: u32, left: u64, elapsed: u64| {
        established()
            .with_outstanding(Outstanding {
                packets_out: 1,
                retransmits: timeouts,
                backoff: timeouts,
                retransmitting_for: Some(milliseconds(elapsed)),
                send_window: 65_536,
                ..Outstanding::default()
            })
            .with(|it| {
                it.rto = Ok(milliseconds(204 << timeouts));
                it.policy = policy(|it| it.retries2 = 5);
            })
            .timer(TimerKind::Retransmission, milliseconds(left))
    };
    // 12.6 s are reached by 408 × (1 + 2 + 4 + 8 + 16) = 12.648 s after the first timeout.
    let within = |ms| Ok(Within(milliseconds(ms)));
    let cases = [
        (after(1, 400, 8), 12_640),
        (after(3, 1_000, 408 * 3 + 632), 12_648 - 408 * 3 - 632),
        (after(5, 1, 12_647), 1),
        // The stamp in microseconds, ahead of the clock and far behind it: by count and back-off.
        (after(3, 1_000, 0), 12_648 - 408 * 3 - 632),
        (after(3, 1_000, 2_000_000_000), 12_648 - 408 * 3 - 632),
    ];
    for (connection, expected) in cases {
        assert_eq!(
            detect(&connection).data,
            within(expected),
            "{connection:#?}"
        );
    }
    // 6.2 s are missed by 408 × 15 = 6.12 s, unless the timers were late by that much.
    let four =
        |elapsed| after(4, 1_000, elapsed).with(|it| it.policy = policy(|it| it.retries2 = 4));
    assert_eq!(detect(&four(5_130)).data, within(1_000 + 408 * 16));
    assert_eq!(detect(&four(5_230)).data, within(1_000));
    // A stamp younger than the timers have it: the longer figure.
    let young = detect(&after(4, 1_000, 2_000)).data;
    assert_eq!(young, within(1_000 + 408 * 16 + 408 * 32));
    // TCP_USER_TIMEOUT counts from the same moment; at the next timeout at the earliest.
    for (user_timeout, expected) in [(20_000, 18_144), (2_000, 1_000)] {
        let connection = after(3, 1_000, 1_856).user_timeout(milliseconds(user_timeout));
        assert_eq!(detect(&connection).data, within(expected));
    }
    // In flight and not retransmitted yet: the timer may be the tail-loss probe's.
    let fresh = after(0, 150, 0).with(|it| {
        it.outstanding = Ok(Outstanding {
            packets_out: 1,
            send_window: 65_536,
            ..Outstanding::default()
        });
    });
    assert_eq!(detect(&fresh).data, within(150 + 204 + 12_648));
}

#[test]
fn the_longest_rto_bounds_every_pause() {
    let limited = |retries, rto_max| {
        retries2(retries).with(|it| {
            it.limits = Ok(Limits {
                rto_max: milliseconds(rto_max),
                syn_retries: None,
            });
        })
    };
    // retransmits_timed_out() with 1 s: 1.4 s doubling and 3 s after; 408 + 816 ms, and 1 s each.
    let expected = milliseconds(408 + 408 + 816 + 4_000);
    assert_eq!(detect(&limited(5, 1_000)).data, Ok(Within(expected)));
    // What is spent is read where the RTO has long stopped doubling: 5.4 s are reached at 6.32 s.
    let late = limited(6, 1_000).with_outstanding(Outstanding {
        packets_out: 1,
        retransmits: 5,
        backoff: 5,
        retransmitting_for: Some(milliseconds(3_485)),
        send_window: 65_536,
        ..Outstanding::default()
    });
    let late = late.with(|it| it.rto = Ok(seconds(1)));
    let late = late.timer(TimerKind::Retransmission, milliseconds(836));
    assert_eq!(detect(&late).data, Ok(Within(milliseconds(2_836))));
    // Orphans at the longest RTO may retransmit "0 times": at the first timeout with 1 s.
    let orphan = limited(15, 1_000).in_state(State::FinWait1).orphaned();
    let expected = milliseconds(408 + 408 + 816 + 1_000);
    assert_eq!(detect(&orphan).data, Ok(Within(expected)));
    // A closed window: 204, 408, 816 ms and three times 1 s.
    let closed = limited(5, 1_000).window_closed(0);
    let expected = milliseconds(204 + 408 + 816 + 3_000);
    assert_eq!(detect(&closed).data, Ok(Within(expected)));
    // Closed on data in flight: the first timeout later than 2 s after the first, which comes after 408 ms at most.
    let closed = limited(5, 1_000).in_flight(0);
    let expected = milliseconds(408 + 408 + 816 + 1_000);
    assert_eq!(detect(&closed).data, Ok(Within(expected)));
}

#[test]
fn scenario_14_a_closed_window_and_then_silence() {
    // Observed by the scenario with a back-off of 1, and by repeating it with others on 6.18 (RTO
    // 216 ms): 20.6 s with a back-off of 1, 39.3 s with one of 4, almost all of the timer left.
    let closed = |rto, backoff| {
        let connection = retries2(5).with(|it| it.rto = Ok(milliseconds(rto)));
        connection.window_closed(backoff)
    };
    check_observed(detect(&closed(204, 1)).data, milliseconds(20_500));
    check_observed(detect(&closed(216, 1)).data, milliseconds(20_600));
    check_observed(detect(&closed(216, 4)).data, milliseconds(39_300));
    let user_timeout = closed(204, 0).user_timeout(seconds(8));
    check_observed(detect(&user_timeout).data, milliseconds(8_300));

    // 0.204 × (1 + 2 + … + 32) s if the window has just closed; without the timer, as long as it may be.
    let fresh = closed(204, 0);
    assert_eq!(detect(&fresh).data, Ok(Within(milliseconds(204 * 63))));
    let unknown = fresh.clone().with(|it| it.timer = Ok(None));
    assert_eq!(detect(&unknown).data, detect(&fresh).data);
}

#[test]
fn what_is_spent_on_window_probes_is_off() {
    let probed = |probes, backoff, left| {
        retries2(5)
            .with_outstanding(Outstanding {
                unsent: 1,
                probes,
                backoff,
                probing_for: Some(milliseconds(3_000)),
                ..Outstanding::default()
            })
            .timer(TimerKind::Persist, milliseconds(left))
    };
    let cases = [
        (probed(1, 1, 308), 308 + 204 * (4 + 8 + 16 + 32)),
        // Three probes of an earlier silence were answered.
        (probed(1, 4, 1_000), 1_000 + 204 * (32 + 32 + 32 + 32)),
        (probed(4, 4, 1_000), 1_000 + 204 * 32),
        (probed(5, 5, 1_600), 1_600),
        // This host's queue was full: each 500 ms, no back-off.
        (probed(3, 0, 100), 100 + 500 + 204 * 4),
    ];
    for (connection, expected) in cases {
        let expected = Ok(Within(milliseconds(expected)));
        assert_eq!(detect(&connection).data, expected, "{connection:#?}");
    }
    // TCP_USER_TIMEOUT counts from the first probe.
    let limited = probed(2, 2, 300).user_timeout(seconds(5));
    assert_eq!(detect(&limited).data, Ok(Within(milliseconds(2_000))));
    let over = probed(2, 2, 300).user_timeout(seconds(3));
    assert_eq!(detect(&over).data, Ok(Within(milliseconds(300))));
}

#[test]
fn a_closed_window_by_default_orphaned_or_not() {
    let closed = established().window_closed(0);
    // Sixteen firings: 0.204 × (1 + … + 512) s, then six times 120 s.
    let default = Within(milliseconds(204 * 1023 + 6 * 120_000));
    assert_eq!(detect(&closed).data, Ok(default));
    // Eight probes of an orphan: 0.204 × (1 + … + 256) s.
    let orphan = closed.clone().in_state(State::FinWait1).orphaned();
    assert_eq!(detect(&orphan).data, Ok(Within(milliseconds(204 * 511))));
    // With the back-off at its end an orphan that may probe "0 times" gives up at the next firing.
    let backed_off = established().window_closed(15);
    let backed_off = backed_off.in_state(State::LastAck).orphaned();
    assert_eq!(detect(&backed_off).data, Ok(Within(seconds(120))));
    // Probes are never nearer than 200 ms (tcp_probe0_base()).
    let quick = retries2(0).with(|it| it.rto = Ok(milliseconds(5)));
    let quick = quick.window_closed(0).with(|it| it.timer = Ok(None));
    assert_eq!(detect(&quick).data, Ok(Within(milliseconds(200))));
    // A closed window can be in any state that has data.
    let close_wait = closed.in_state(State::CloseWait);
    assert_eq!(detect(&close_wait).data, Ok(default));
}

#[test]
fn a_window_closed_on_data_in_flight() {
    // The first timeout after 408 ms, and the first one later than 240 s after it: 0.408 × (1 + … + 256) = 208.5 s,
    // and 120 s more.
    let closed = established().in_flight(0);
    let expected = milliseconds(408 * 512 + 120_000);
    assert_eq!(detect(&closed).data, Ok(Within(expected)));
    let user_timeout = closed.clone().user_timeout(seconds(30));
    assert_eq!(detect(&user_timeout).data, Ok(Within(milliseconds(30_408))));
    // Retransmitted for 10 s already; icsk_retransmits stays 0 there, the back-off does not.
    let later = closed.clone().with(|it| {
        it.rto = Ok(milliseconds(204 << 5));
        it.outstanding = Ok(Outstanding {
            packets_out: 1,
            backoff: 5,
            retransmitting_for: Some(seconds(10)),
            ..Outstanding::default()
        });
    });
    let later = later.timer(TimerKind::Retransmission, seconds(2));
    let limited = later.clone().user_timeout(seconds(20));
    assert_eq!(detect(&limited).data, Ok(Within(seconds(10))));
    // Pauses of 13.056, 26.112, 52.224 and 104.448 s, then 120 s.
    let expected = milliseconds(2_000 + 13_056 * 15 + 120_000);
    assert_eq!(detect(&later).data, Ok(Within(expected)));
    // Not for orphans, which retransmit as always.
    let orphan = closed.in_state(State::FinWait1).orphaned();
    assert_eq!(detect(&orphan).data, Ok(Within(milliseconds(408 * 256))));
}
