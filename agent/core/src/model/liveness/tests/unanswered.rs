//! What is unanswered: keepalive probes, retransmissions, window probes, and their graces.

use super::{
    HELD, SUSPECT_KEEPALIVE, SUSPECT_LOCAL_SEND, SUSPECT_RETRANSMISSION, SUSPECT_WINDOW_PROBE,
    check, guarded, in_flight, probed, timer, window,
};
use crate::model::{
    connection::{Connection, Limits, Outstanding, TimerKind, Unknown},
    liveness::{
        Liveness,
        fixture::{established, milliseconds, seconds},
    },
};

#[test]
fn keepalive_unanswered() {
    for state in HELD {
        let silent = guarded().in_state(state).silent_for(seconds(11));
        let why = "2 keepalive probes unanswered, silent for 11 s";
        check(
            &silent.with_outstanding(probed(2, Some(3000))),
            SUSPECT_KEEPALIVE,
            why,
        );
    }
    let silent = || guarded().silent_for(milliseconds(5_499));
    let healthy = "heard 5.4 s ago";
    let one = |latest| silent().with_outstanding(probed(1, latest));
    check(&one(Some(499)), Liveness::Healthy, healthy);
    let why = "1 keepalive probe unanswered, silent for 5.4 s";
    check(&one(Some(500)), SUSPECT_KEEPALIVE, why);
    let why = "1 keepalive probe unanswered (since when is unknown), silent for 5.4 s";
    check(&one(None), SUSPECT_KEEPALIVE, why);
    let two = silent().with_outstanding(probed(2, None));
    let why = "2 keepalive probes unanswered, silent for 5.4 s";
    check(&two, SUSPECT_KEEPALIVE, why);
    // Settings changed to off after a probe, and no probe at all.
    let off = one(Some(3000)).with(|it| it.keepalive = established().keepalive);
    check(&off, Liveness::Healthy, healthy);
    check(
        &silent().with_outstanding(probed(0, None)),
        Liveness::Healthy,
        healthy,
    );
}

#[test]
fn a_dead_peer_stays_a_suspect_just_after_each_probe() {
    // 5/3/3, dead: the second probe is out for 100 ms, the first for 3.1 s.
    let dead = guarded().silent_for(milliseconds(8_100));
    let why = "2 keepalive probes unanswered, silent for 8.1 s";
    check(
        &dead.with_outstanding(probed(2, Some(100))),
        SUSPECT_KEEPALIVE,
        why,
    );
    // Alive: data answered the first probe and left the count as it was.
    let alive = guarded().silent_for(milliseconds(5_100));
    let alive = alive.with_outstanding(probed(2, Some(100)));
    check(&alive, Liveness::Healthy, "heard 5.1 s ago");
    let unheard = alive.with(|it| {
        it.last_ack = Err(Unknown::NotOnThisKernel);
        it.last_received = Err(Unknown::NotOnThisKernel);
    });
    let why = "when it was last heard is unknown: this kernel does not tell";
    check(&unheard, Liveness::Healthy, why);
}

/// The latest timeout was 0.1 s ago and set the timer to 3.2 s: the ones before it came 1.7 s and 2.5 s ago.
fn retransmitting(times: u32, silent_ms: u64, send_window: u64) -> Connection {
    established()
        .silent_for(milliseconds(silent_ms))
        .with_outstanding(Outstanding {
            backoff: times,
            ..in_flight(times, send_window)
        })
        .with(|it| {
            it.rto = Ok(milliseconds(3_200));
            it.timer = Ok(timer(TimerKind::Retransmission, milliseconds(3_100)));
            it.last_sent = Ok(milliseconds(100));
        })
}

#[test]
fn retransmitting_into_silence() {
    for state in HELD {
        let why = "3 retransmissions unanswered, silent for 4.1 s";
        let silent = retransmitting(3, 4_100, 1_000).in_state(state);
        check(&silent, SUSPECT_RETRANSMISSION, why);
        // When the latest was is unknown, and when the peer was heard.
        let why = "3 retransmissions unanswered";
        let unknown = silent.with(|it| {
            it.last_ack = Err(Unknown::NotOnThisKernel);
            it.last_received = Err(Unknown::NotOnThisKernel);
        });
        check(&unknown, SUSPECT_RETRANSMISSION, why);
    }
    // Everyday losses.
    for times in 0..3 {
        let lossy = retransmitting(times, 4_100, 1_000);
        check(&lossy, Liveness::Healthy, "data under way, heard 4.1 s ago");
    }
}

#[test]
fn heard_and_not_acknowledging() {
    let stalled = |times, heard: &str| {
        format!(
            "{times} retransmissions not acknowledged though the peer is there, heard {heard} ago: segments are lost on the way (MTU, one-way path)"
        )
    };
    for state in HELD {
        let talking = retransmitting(7, 400, 1_000).in_state(state);
        check(&talking, Liveness::Stalled, &stalled(7, "400 ms"));
    }
    // Heard before the second timeout from the last, and in the same jiffy as the third: not three in silence.
    check(
        &retransmitting(7, 2_510, 1_000),
        Liveness::Stalled,
        &stalled(7, "2.5 s"),
    );
    let why = "7 retransmissions unanswered, silent for 2.5 s";
    check(
        &retransmitting(7, 2_511, 1_000),
        SUSPECT_RETRANSMISSION,
        why,
    );
    // A segment out of the window is a sound of life.
    let probing = retransmitting(7, 60_000, 1_000)
        .with(|it| it.last_out_of_window = Ok(Some(milliseconds(900))));
    check(&probing, Liveness::Stalled, &stalled(7, "900 ms"));
    // TCP_USER_TIMEOUT has cut the timer short: the latest was when data was last sent.
    let short = retransmitting(4, 2_450, 1_000).with(|it| {
        it.user_timeout = Ok(Some(seconds(9)));
        it.timer = Ok(timer(TimerKind::Retransmission, milliseconds(10)));
    });
    check(&short, Liveness::Stalled, &stalled(4, "2.4 s"));
    // At its longest the RTO does not double.
    let longest = |times, silent_ms| {
        retransmitting(times, silent_ms, 1_000).with(|it| {
            it.limits = Ok(Limits {
                rto_max: milliseconds(3_200),
                ..Limits::default()
            });
        })
    };
    check(&longest(9, 6_500), Liveness::Stalled, &stalled(9, "6.5 s"));
    // It has only just reached that: the fourth came 1.6 s after the third, that 0.8 s after the second.
    let why = "4 retransmissions unanswered, silent for 2.6 s";
    check(&longest(4, 2_600), SUSPECT_RETRANSMISSION, why);
}

#[test]
fn keepalive_unanswered_by_a_peer_that_is_heard() {
    let one_way = guarded()
        .silent_for(seconds(11))
        .with_outstanding(probed(2, Some(3000)))
        .with(|it| it.last_out_of_window = Ok(Some(milliseconds(700))));
    let why = "2 keepalive probes unanswered though the peer is there, heard 700 ms ago: segments are lost on the way (one-way path)";
    check(&one_way, Liveness::Stalled, why);
    // On a long path the answer takes an RTO.
    let far = guarded()
        .silent_for(milliseconds(6_100))
        .with_outstanding(probed(1, Some(1_100)));
    let why = "1 keepalive probe unanswered, silent for 6.1 s";
    check(&far, SUSPECT_KEEPALIVE, why);
    let far = far.with(|it| it.rto = Ok(milliseconds(1_200)));
    check(&far, Liveness::Healthy, "heard 6.1 s ago");
}

#[test]
fn closed_window_with_data_waiting() {
    for state in HELD {
        let living = established()
            .in_state(state)
            .with_outstanding(window(0, None));
        let why = "zero window with a living peer, heard 1 s ago";
        check(&living, Liveness::ZeroWindow, why);
    }
    // 1 s and an RTO of 204 ms after the first: the one before the latest came 408 ms before it, the one before
    // that 204 ms.
    let cases = [
        (1, Some(1_203), Liveness::ZeroWindow),
        (1, None, Liveness::ZeroWindow),
        (1, Some(1_204), SUSPECT_WINDOW_PROBE),
        (2, Some(795), Liveness::ZeroWindow),
        (2, Some(796), SUSPECT_WINDOW_PROBE),
        (2, None, SUSPECT_WINDOW_PROBE),
        (3, Some(591), Liveness::ZeroWindow),
        (3, Some(592), SUSPECT_WINDOW_PROBE),
    ];
    for (probes, latest, expected) in cases {
        let plural = if probes == 1 { "" } else { "s" };
        let why = match expected {
            Liveness::ZeroWindow => "zero window with a living peer, heard 1 s ago".to_owned(),
            _ => format!("{probes} window probe{plural} unanswered, silent for 1m"),
        };
        let heard = if expected == Liveness::ZeroWindow {
            1
        } else {
            60
        };
        let connection = established()
            .silent_for(seconds(heard))
            .with_outstanding(Outstanding {
                backoff: 2,
                ..window(probes, latest)
            });
        check(&connection, expected, &why);
    }
    // The window is open, if narrow: what the timer sends is data, and what it counts are failures to send.
    let narrow = |probes| Outstanding {
        send_window: 1,
        ..window(probes, Some(700))
    };
    for sends in [0, 1] {
        let waiting = established().with_outstanding(narrow(sends));
        check(&waiting, Liveness::Healthy, "data under way, heard 1 s ago");
    }
    let why = "data could not be sent 2 times: this host drops it or has no route";
    check(
        &established().with_outstanding(narrow(2)),
        SUSPECT_LOCAL_SEND,
        why,
    );
    // What the peer sends has reset the number of probes, not the back-off.
    let failing = |since| Outstanding {
        backoff: 4,
        probing_for: Some(seconds(since)),
        ..narrow(0)
    };
    let why = "data could not be sent 4 times: this host drops it or has no route, heard 1 s ago";
    let talking = established().with_outstanding(failing(2));
    check(&talking, Liveness::Stalled, why);
    let why = "data could not be sent 4 times: this host drops it or has no route";
    let silent = established().with_outstanding(failing(1));
    check(&silent, SUSPECT_LOCAL_SEND, why);
}

#[test]
fn closed_window_with_data_in_flight() {
    let dead = |times, silent: &str| {
        format!("zero window, {times} retransmissions unanswered, silent for {silent}")
    };
    let alive = |heard: &str| format!("zero window with a living peer, heard {heard} ago");
    // Nothing else known: retransmissions, and a window closed since.
    let bare = established().with_outstanding(in_flight(3, 0));
    let unheard = bare.with(|it| {
        it.last_ack = Err(Unknown::NotOnThisKernel);
        it.last_received = Err(Unknown::NotOnThisKernel);
    });
    let why = "zero window, 3 retransmissions unanswered";
    check(&unheard, SUSPECT_WINDOW_PROBE, why);
    // Each timeout was answered, the latest in its own jiffy.
    for silent_ms in [0, 100, 110] {
        let living = retransmitting(5, silent_ms, 0);
        let heard = match silent_ms {
            0 => "0 s".to_owned(),
            ms => format!("{ms} ms"),
        };
        check(&living, Liveness::ZeroWindow, &alive(&heard));
    }
    // One or two answers may be lost, or on their way.
    for (silent_ms, times, heard) in [
        (111, "1 retransmission", "111 ms"),
        (2_500, "2 retransmissions", "2.5 s"),
    ] {
        let why = format!("zero window, {times} unanswered, heard {heard} ago");
        check(&retransmitting(5, silent_ms, 0), Liveness::ZeroWindow, &why);
    }
    check(
        &retransmitting(5, 2_511, 0),
        SUSPECT_WINDOW_PROBE,
        &dead(3, "2.5 s"),
    );
    // TCP_USER_TIMEOUT may have cut the timer short: the latest was when data was last sent.
    let short = |silent_ms| {
        retransmitting(5, silent_ms, 0).with(|it| {
            it.user_timeout = Ok(Some(seconds(20)));
            it.timer = Ok(timer(TimerKind::Retransmission, milliseconds(10)));
        })
    };
    check(&short(100), Liveness::ZeroWindow, &alive("100 ms"));
    // Before Linux 6.5 the RTO alone tells of the timeouts.
    let old = retransmitting(0, 16_000, 0);
    check(&old, SUSPECT_WINDOW_PROBE, &dead(3, "16 s"));
    check(&short(16_000), SUSPECT_WINDOW_PROBE, &dead(5, "16 s"));
}
