//! The path with data: retransmission, a closed window, and their limits.

use super::{check, check_observed, policy, retries2, timer_of};
use crate::model::{
    connection::{Outstanding, State, TimerKind},
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

#[test]
fn back_off_is_taken_back() {
    let outstanding = |retransmits| Outstanding {
        packets_out: 1,
        retransmits,
        send_window: 65_536,
        ..Outstanding::default()
    };
    let fresh = detect(&established()).data;
    let three = established().with_outstanding(outstanding(3));
    let three = three.with(|it| it.rto = Ok(milliseconds(204 * 8)));
    assert_eq!(detect(&three).data, fresh);
    // At 120 s the RTO has stopped doubling: from 200 ms and the round trip on, then.
    let many = established().with_outstanding(outstanding(15)).with(|it| {
        it.rto = Ok(seconds(120));
        it.rtt = Ok(milliseconds(4));
    });
    assert_eq!(detect(&many).data, fresh);
    let most = established()
        .with_outstanding(outstanding(u32::MAX))
        .with(|it| {
            it.rtt = Ok(milliseconds(4));
        });
    assert_eq!(detect(&most).data, fresh);
}

#[test]
fn scenario_14_a_closed_window_and_then_silence() {
    // Observed by the scenario with a back-off of 1, and by repeating it with others on 6.18 (RTO
    // 216 ms): 20.6 s with a back-off of 1, 39.3 s with one of 4, almost all of the timer left.
    let closed = |rto, timer| {
        let connection = retries2(5).window_closed(milliseconds(timer));
        connection.with(|it| it.rto = Ok(milliseconds(rto)))
    };
    check_observed(detect(&closed(204, 408)).data, milliseconds(20_500));
    check_observed(detect(&closed(216, 432)).data, milliseconds(20_600));
    check_observed(detect(&closed(216, 216 * 16)).data, milliseconds(39_300));
    let user_timeout = closed(204, 204).user_timeout(seconds(8));
    check_observed(detect(&user_timeout).data, milliseconds(8_300));

    // 0.204 × (1 + 2 + … + 32) s if the window has just closed; six times the longest timer if it
    // is not known for how long it has been.
    let fresh = closed(204, 204);
    assert_eq!(detect(&fresh).data, Ok(Within(milliseconds(204 * 63))));
    let unknown = fresh.clone().with(|it| it.timer = Ok(None));
    assert_eq!(
        detect(&unknown).data,
        Ok(Within(milliseconds(204 * 32 * 6)))
    );
    // Unanswered already: the latest probe set the timer.
    let unanswered = fresh.with(|it| {
        it.timer = timer_of(TimerKind::Persist, milliseconds(308));
        it.outstanding = Ok(Outstanding {
            unsent: 1,
            probes: 1,
            latest_probe: Some(milliseconds(100)),
            ..Outstanding::default()
        });
    });
    assert_eq!(
        detect(&unanswered).data,
        Ok(Within(milliseconds(204 * (2 + 4 + 8 + 16 + 32 + 32))))
    );
}

#[test]
fn a_closed_window_by_default_orphaned_or_not() {
    let closed = established().window_closed(milliseconds(204));
    // Sixteen firings: 0.204 × (1 + … + 512) s, then six times 120 s.
    let default = Within(milliseconds(204 * 1023 + 6 * 120_000));
    assert_eq!(detect(&closed).data, Ok(default));
    // Eight probes of an orphan: 0.204 × (1 + … + 256) s.
    let orphan = closed.clone().in_state(State::FinWait1).orphaned();
    assert_eq!(detect(&orphan).data, Ok(Within(milliseconds(204 * 511))));
    // With the back-off at its end an orphan that may probe "0 times" gives up at the next firing.
    let backed_off = established().window_closed(seconds(120));
    let backed_off = backed_off.in_state(State::LastAck).orphaned();
    assert_eq!(detect(&backed_off).data, Ok(Within(seconds(120))));
    // Probes are never nearer than 200 ms (tcp_probe0_base()).
    let quick = retries2(0).window_closed(milliseconds(200));
    let quick = quick.with(|it| it.rto = Ok(milliseconds(5)));
    assert_eq!(detect(&quick).data, Ok(Within(milliseconds(200))));
    // A closed window can be in any state that has data.
    let close_wait = closed.in_state(State::CloseWait);
    assert_eq!(detect(&close_wait).data, Ok(default));
}

#[test]
fn a_window_closed_on_data_in_flight() {
    // The first timeout later than 240 s: 0.204 × (1 + … + 512) = 208.7, and 120 more.
    let closed = established().in_flight(0);
    let expected = milliseconds(204 * 1023 + 120_000);
    assert_eq!(detect(&closed).data, Ok(Within(expected)));
    let user_timeout = closed.clone().user_timeout(seconds(30));
    assert_eq!(detect(&user_timeout).data, Ok(Within(milliseconds(30_204))));
    let at_the_end = closed.with(|it| it.rto = Ok(seconds(120)));
    assert_eq!(detect(&at_the_end).data, Ok(Within(seconds(360))));
    // Not for orphans, which retransmit as always.
    let orphan = at_the_end.in_state(State::FinWait1).orphaned();
    let orphan = orphan.with(|it| it.rto = Ok(milliseconds(204)));
    assert_eq!(detect(&orphan).data, Ok(Within(milliseconds(408 * 256))));
}
