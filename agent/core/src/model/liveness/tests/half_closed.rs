//! Connections of which one side has ended its half, those without an application, and unread data.

use super::*;

#[test]
fn stale_close_wait() {
    let close_wait = || established().in_state(State::CloseWait);
    let why = "CLOSE_WAIT, idle for 5m: its application has forgotten it";
    check(
        &close_wait().silent_for(seconds(300)),
        Liveness::StaleCloseWait,
        why,
    );
    let why = "CLOSE_WAIT: the peer has ended its half";
    check(
        &close_wait().silent_for(seconds(299)),
        Liveness::HalfClosed,
        why,
    );
    let suspect = close_wait()
        .silent_for(seconds(900))
        .with(|it| it.last_sent = Ok(seconds(60)));
    let suspect = suspect.with_outstanding(in_flight(7, 1_000));
    let why = "7 retransmissions unanswered, silent for 15m";
    check(&suspect, SUSPECT_RETRANSMISSION, why);
}

#[test]
fn stale_fin_wait2() {
    let held = || established().in_state(State::FinWait2);
    let why = "FIN_WAIT2, held by its application: waits for the peer's end without limit";
    check(&held().silent_for(seconds(299)), Liveness::HalfClosed, why);
    let stale = || held().silent_for(seconds(300));
    let why =
        "FIN_WAIT2, held by its application, idle for 5m, no keepalive: nothing would ever end it";
    check(&stale(), Liveness::StaleFinWait2, why);
    // The peer lives: data still comes.
    let reading = stale().with(|it| it.last_received = Ok(seconds(3)));
    let why = "FIN_WAIT2, held by its application: waits for the peer's end without limit";
    check(&reading, Liveness::HalfClosed, why);
    // What keepalive found answered is idle all the same.
    let probed = stale().with(|it| {
        it.keepalive = guarded().keepalive;
        it.last_ack = Ok(seconds(2));
    });
    let why = "FIN_WAIT2, held by its application, idle for 5m, \
               keepalive would end it if the peer is dead";
    check(&probed, Liveness::StaleFinWait2, why);
    let unanswered = probed
        .silent_for(seconds(900))
        .with_outstanding(super::probed(2, Some(900)));
    let why = "2 keepalive probes unanswered, silent for 15m";
    check(&unanswered, SUSPECT_KEEPALIVE, why);
    let unsure = stale().with(|it| it.keepalive = Err(Unknown::NotInSockDiag));
    let why = "FIN_WAIT2, held by its application, idle for 5m, \
               whether keepalive is on is unknown: sock_diag does not tell";
    check(&unsure, Liveness::StaleFinWait2, why);
    let old = stale().with(|it| it.last_sent = Err(Unknown::NotInSockDiag));
    let why = "FIN_WAIT2, held by its application, since when it is idle is unknown: \
               sock_diag does not tell";
    let diag = Some(Unknown::NotInSockDiag);
    check_unknown(&old, Liveness::HalfClosed, why, diag);
}

#[test]
fn what_the_application_has_not_read() {
    let unread = |connection: Connection, bytes| {
        connection.with(|it| {
            let outstanding = it.outstanding.unwrap();
            it.outstanding = Ok(Outstanding {
                unread: bytes,
                ..outstanding
            });
        })
    };
    let idle = || established().silent_for(seconds(7_200));
    let why = "idle for 2h, no keepalive: a dead peer would never be found; \
               127 kB unread by its application";
    check(&unread(idle(), 127_744), Liveness::Idle(Guard::None), why);
    let why = "heard 1 s ago; 1 B unread by its application";
    check(&unread(established(), 1), Liveness::Healthy, why);
    // Both sides have stopped reading.
    let closed = established().with_outstanding(window(0, None));
    let closed = unread(closed, 127_744);
    let why = classify(&closed, &Thresholds::default()).why;
    assert!(why.ends_with("; 127 kB unread by its application"), "{why}");
    // The peer's FIN counts as one, and comes after the data.
    let close_wait = |bytes| {
        let it = idle().in_state(State::CloseWait);
        unread(it, bytes)
    };
    for (bytes, why) in [
        (
            0,
            "CLOSE_WAIT, idle for 2h: its application has forgotten it",
        ),
        (
            1,
            "CLOSE_WAIT, idle for 2h: its application has not read the peer's end",
        ),
        (
            79,
            "CLOSE_WAIT, idle for 2h: its application has forgotten it; 78 B unread by its application",
        ),
    ] {
        check(&close_wait(bytes), Liveness::StaleCloseWait, why);
    }
    // Nobody holds it who could read.
    let queued = unread(established().queued(), 78);
    let why = classify(&queued, &Thresholds::default()).why;
    assert!(!why.contains("unread"), "{why}");
}

#[test]
fn orphans() {
    let orphan = |state| established().in_state(state).orphaned();
    for (state, name) in [
        (State::FinWait1, "FIN_WAIT1"),
        (State::Closing, "CLOSING"),
        (State::LastAck, "LAST_ACK"),
        (State::CloseWait, "CLOSE_WAIT"),
        (State::Established, "ESTABLISHED"),
    ] {
        let why =
            format!("{name}, closed by its application; the peer has not confirmed the end yet");
        check(&orphan(state), Liveness::Orphan, &why);
        let why = format!(
            "{name}, closed by its application; 1 retransmission unanswered, silent for 1 s"
        );
        let retransmitting = orphan(state).with_outstanding(in_flight(1, 1_000));
        check(&retransmitting, Liveness::Orphan, &why);
        let why = format!(
            "{name}, closed by its application; 2 window probes unanswered, silent for 1 s"
        );
        let probing = orphan(state).with_outstanding(window(2, Some(900)));
        check(&probing, Liveness::Orphan, &why);
        let blind = orphan(state).with(|it| it.outstanding = Err(Unknown::NotInSockDiag));
        let why =
            format!("{name}, closed by its application; the peer has not confirmed the end yet");
        check(&blind, Liveness::Orphan, &why);
    }
    let why = "FIN_WAIT2, closed by its application";
    check(&orphan(State::FinWait2), Liveness::Orphan, why);
    let why = "FIN_WAIT2, closed by its application; the kernel ends it in 7 s";
    let ending = orphan(State::FinWait2);
    let ending = ending.with(|it| it.timer = Ok(timer(TimerKind::Keepalive, seconds(7))));
    check(&ending, Liveness::Closing, why);
    // A timer that another hides (sock_diag) runs all the same.
    let why = "FIN_WAIT2, closed by its application";
    let hidden = orphan(State::FinWait2);
    let hidden = hidden.with(|it| it.timer = Err(Unknown::NotInSockDiag));
    check(&hidden, Liveness::Closing, why);
    // Kept as a TIME_WAIT socket, which has no flags.
    let kept = established().in_state(State::FinWait2);
    let kept = kept.with(|it| it.timer = Ok(timer(TimerKind::TimeWait, seconds(7))));
    let why = "FIN_WAIT2, closed by its application; the kernel ends it in 7 s";
    check(&kept, Liveness::Closing, why);
}
