//! Handshakes: SYNs and SYN-ACKs that nobody answers.

use super::*;

/// In SYN_SENT, the first SYN just sent; tcp_syn_retries, tcp_syn_linear_timeouts.
fn syn_sent(retries: u32, linear: u32) -> Connection {
    established().in_state(State::SynSent).with(|it| {
        it.rto = Ok(seconds(1));
        it.policy = policy(|it| {
            it.syn_retries = retries;
            it.syn_linear_timeouts = linear;
        });
        it.timer = timer_of(TimerKind::Retransmission, seconds(1));
        it.outstanding = Ok(Outstanding {
            packets_out: 1,
            retransmitting_for: Some(Duration::ZERO),
            ..Outstanding::default()
        });
    })
}

/// After this number of timeouts: the RTO, what is left of it, and how long ago the first SYN was sent.
fn resent(connection: Connection, timeouts: u32, times: [u64; 3]) -> Connection {
    let [rto, left, elapsed] = times.map(milliseconds);
    connection.with(|it| {
        it.rto = Ok(rto);
        it.timer = timer_of(TimerKind::Retransmission, left);
        it.outstanding = Ok(Outstanding {
            packets_out: 1,
            retransmits: timeouts,
            retransmitting_for: Some(elapsed),
            ..Outstanding::default()
        });
    })
}

fn check_left(connection: &Connection, left: u64) {
    let expected = Ok(Within(milliseconds(left)));
    check(connection, expected, expected);
}

#[test]
fn scenario_1_no_answer_to_a_syn() {
    check_observed(detect(&syn_sent(6, 4)).idle, seconds(134));
    check_observed(detect(&syn_sent(6, 4)).data, seconds(134));
}

/// Documentation/networking/ip-sysctl.rst, tcp_syn_linear_timeouts = 4: RTOs of 1, 1, 1, 1, 1, 2, 4 s and so on. The
/// kernel gives up at the first timeout past 2^(tcp_syn_retries + 1) - 1 s. Observed on 6.18: 7 s with 2, 3 s with 1.
#[test]
fn both_limits_of_a_syn() {
    let cases = [
        (1, 4, 3),
        (2, 4, 7),
        (3, 4, 19),
        (4, 4, 35),
        (6, 4, 131),
        (1, 0, 3),
        (2, 0, 7),
        (6, 0, 127),
        // RTOs of 1, 1, 1, 2 and 4 s.
        (2, 2, 9),
    ];
    for (retries, linear, expected) in cases {
        let connection = syn_sent(retries, linear);
        check_left(&connection, expected * 1000);
        // TCP_SYNCNT instead of the sysctl.
        let own = syn_sent(6, linear).with(|it| {
            it.limits = Ok(Limits {
                syn_retries: Some(retries),
                ..Limits::default()
            });
        });
        check_left(&own, expected * 1000);
    }
}

#[test]
fn what_is_spent_on_syns_is_off() {
    // Four linear timeouts and the fifth, 5 s; the next at 7, 11 and 19 s.
    check_left(&resent(syn_sent(3, 4), 5, [2_000, 1_200, 5_800]), 13_200);
    // The reading is a millisecond short of the 7 s that timers alone prove.
    check_left(&resent(syn_sent(2, 4), 5, [2_000, 200, 6_799]), 200);
    // Late timers: 15 s are over at the timeout at 15.2 s.
    check_left(&resent(syn_sent(3, 0), 3, [8_000, 1_000, 14_200]), 1_000);
    // Without the stamp, by count and back-off.
    let bare = resent(syn_sent(3, 4), 5, [2_000, 1_200, 0]);
    check_left(&bare, 13_200);
    // In microseconds it has no meaning.
    let far = resent(syn_sent(3, 4), 5, [2_000, 1_200, 1_700_000_000]);
    check_left(&far, 13_200);
}

#[test]
fn scenario_2_a_user_timeout_for_a_syn() {
    check_left(&syn_sent(6, 4).user_timeout(seconds(5)), 5_000);
    let later = resent(syn_sent(6, 4), 3, [1_000, 400, 3_600]).user_timeout(seconds(5));
    check_left(&later, 1_400);
    // The first timeout is no limit's; the next comes at once.
    let short = syn_sent(6, 4).user_timeout(milliseconds(300));
    check_left(&short, 1_002);
    // The number of retransmissions still holds: 0/1 is over at 3 s, whatever the timeout.
    check_left(&syn_sent(1, 0).user_timeout(seconds(60)), 3_000);
    // Six are allowed by 4/2, the seventh timeout is at 11 s: the timeout stands in for the other limit alone.
    check_left(&syn_sent(2, 4).user_timeout(seconds(60)), 11_000);
}

#[test]
fn the_longest_rto_bounds_that_of_a_syn() {
    // tcp_rto_max_ms = 1000: (3 + 1) s by retransmits_timed_out().
    let short = syn_sent(3, 0).with(|it| {
        it.limits = Ok(Limits {
            rto_max: seconds(1),
            syn_retries: None,
        });
    });
    check_left(&short, 4_000);
}

#[test]
fn scenario_3_no_answer_to_a_syn_ack() {
    let request = guarded(1, 1, 1).in_state(State::SynRecv).with(|it| {
        it.user_timeout = Ok(Some(seconds(5)));
        it.rto = Err(Unknown::NotOfThisKind);
    });
    check_observed(detect(&request).idle, seconds(65));
    check_observed(detect(&request).data, seconds(65));
    // Two timeouts over, 4 s run: 8, 16 and 32 s are to come.
    let later = request
        .clone()
        .timer(TimerKind::Retransmission, seconds(3))
        .with_outstanding(Outstanding {
            retransmits: 2,
            ..Outstanding::default()
        });
    check_left(&later, 3_000 + 56_000);
    // A Fast Open child has one retry more: 1 + 2 + … + 64 s.
    let child = request.with(|it| it.rto = Ok(seconds(1)));
    check(&child, Ok(Within(seconds(127))), Ok(Within(seconds(127))));
}
