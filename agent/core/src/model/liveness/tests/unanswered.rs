//! What is unanswered: keepalive probes, retransmissions, window probes, and their graces.

use super::{
    HELD, SUSPECT_KEEPALIVE, SUSPECT_LOCAL_SEND, SUSPECT_RETRANSMISSION, SUSPECT_WINDOW_PROBE,
    check, guarded, in_flight, probed, timer, window,
};
use crate::model::{
    connection::{Outstanding, TimerKind, Unknown},
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

#[test]
fn retransmitting_into_silence() {
    for state in HELD {
        let silent = established()
            .in_state(state)
            .silent_for(milliseconds(4_100));
        let why = "3 retransmissions unanswered, silent for 4.1 s";
        let retransmitting = silent.with_outstanding(in_flight(3, 1_000));
        check(&retransmitting, SUSPECT_RETRANSMISSION, why);
    }
    let first = established().with_outstanding(in_flight(0, 1_000));
    check(&first, Liveness::Healthy, "data under way, heard 1 s ago");
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
    let cases = [
        (1, Some(999), Liveness::ZeroWindow),
        (1, None, Liveness::ZeroWindow),
        (1, Some(1_000), SUSPECT_WINDOW_PROBE),
        (2, Some(499), Liveness::ZeroWindow),
        (2, Some(500), SUSPECT_WINDOW_PROBE),
        (2, None, SUSPECT_WINDOW_PROBE),
        (3, Some(100), Liveness::ZeroWindow),
        (4, Some(1), SUSPECT_WINDOW_PROBE),
    ];
    for (probes, latest, expected) in cases {
        let plural = if probes == 1 { "" } else { "s" };
        let why = match expected {
            Liveness::ZeroWindow => "zero window with a living peer, heard 1 s ago".to_owned(),
            _ => format!("{probes} window probe{plural} unanswered, silent for 1 s"),
        };
        let connection = established().with_outstanding(window(probes, latest));
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
}

#[test]
fn closed_window_with_data_in_flight() {
    let closed = |retransmits, silent_ms, left_ms| {
        established()
            .silent_for(milliseconds(silent_ms))
            .with_outstanding(in_flight(retransmits, 0))
            .with(|it| {
                it.rto = Ok(milliseconds(3_200));
                it.timer = Ok(timer(TimerKind::Retransmission, milliseconds(left_ms)));
            })
    };
    let dead = |silent| format!("zero window, retransmissions unanswered, silent for {silent}");
    let alive = |heard| format!("zero window with a living peer, heard {heard} ago");
    // The taxonomy's row, nothing else known: retransmissions, and a window closed since.
    let bare = established().with_outstanding(in_flight(2, 0));
    check(&bare, SUSPECT_WINDOW_PROBE, &dead("1 s"));
    // The timeouts against a closed window are not counted: what was heard since decides.
    check(
        &closed(0, 1_000, 2_000),
        Liveness::ZeroWindow,
        &alive("1 s"),
    );
    check(
        &closed(2, 1_000, 2_000),
        Liveness::ZeroWindow,
        &alive("1 s"),
    );
    check(
        &closed(0, 1_300, 2_000),
        SUSPECT_WINDOW_PROBE,
        &dead("1.3 s"),
    );
    // Too early to tell, unless the timeout before was unanswered too.
    check(
        &closed(0, 1_700, 3_100),
        SUSPECT_WINDOW_PROBE,
        &dead("1.7 s"),
    );
    check(
        &closed(0, 1_500, 3_100),
        Liveness::ZeroWindow,
        &alive("1.5 s"),
    );
    // TCP_USER_TIMEOUT may have cut the timer short.
    let short = closed(0, 1_300, 2_000).with(|it| it.user_timeout = Ok(Some(seconds(9))));
    check(&short, Liveness::ZeroWindow, &alive("1.3 s"));
}
