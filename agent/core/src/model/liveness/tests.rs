//! The verdict against the taxonomy of kernel-facts.md, for each kind of address.

use std::net::SocketAddr;

use super::{
    Evidence, Guard, Liveness, Thresholds, classify,
    fixture::{established, keepalive, milliseconds, seconds},
};
use crate::model::connection::{Connection, Outstanding, State, Timer, TimerKind, Unknown};

mod accept;
mod half_closed;
mod unanswered;

const SUSPECT_KEEPALIVE: Liveness = Liveness::Suspect(Evidence::Keepalive);
const SUSPECT_RETRANSMISSION: Liveness = Liveness::Suspect(Evidence::Retransmission);
const SUSPECT_LOCAL_SEND: Liveness = Liveness::Suspect(Evidence::LocalSendFailure);
const SUSPECT_WINDOW_PROBE: Liveness = Liveness::Suspect(Evidence::WindowProbe);

/// States in which an application may hold a connection that has been established.
const HELD: [State; 6] = [
    State::Established,
    State::CloseWait,
    State::FinWait1,
    State::FinWait2,
    State::Closing,
    State::LastAck,
];

/// Assesses the connection as it is, as an MPTCP subflow, and over IPv6 and IPv4-mapped addresses:
/// none of that changes anything.
fn check(connection: &Connection, expected: Liveness, why: &str) {
    check_unknown(connection, expected, why, None);
}

fn check_unknown(connection: &Connection, expected: Liveness, why: &str, unknown: Option<Unknown>) {
    let remotes = [
        "10.0.0.2:50000",
        "[2001:db8::2]:50000",
        "[::ffff:10.0.0.2]:50000",
    ];
    for remote in remotes {
        for mptcp in [false, true] {
            let connection = connection.clone().with(|it| {
                it.remote = remote.parse::<SocketAddr>().unwrap();
                it.mptcp = mptcp;
            });
            let verdict = classify(&connection, &Thresholds::default());
            assert_eq!(verdict.liveness, expected, "{verdict:?} {connection:#?}");
            assert_eq!(verdict.why, why);
            assert_eq!(verdict.unknown, unknown, "{verdict:?}");
        }
    }
}

fn guarded() -> Connection {
    established().with(|it| it.keepalive = Ok(keepalive(5, 3, 3)))
}

fn timer(kind: TimerKind, left: std::time::Duration) -> Option<Timer> {
    Some(Timer { kind, left })
}

/// Nothing in flight, so many keepalive probes out.
fn probed(probes: u32, latest_ms: Option<u64>) -> Outstanding {
    Outstanding {
        probes,
        latest_probe: latest_ms.map(milliseconds),
        send_window: 65_536,
        ..Outstanding::default()
    }
}

/// A closed window with data waiting, so many window probes out.
fn window(probes: u32, latest_ms: Option<u64>) -> Outstanding {
    Outstanding {
        unsent: 300_000,
        unacknowledged: 300_000,
        send_window: 0,
        ..probed(probes, latest_ms)
    }
}

/// Data in flight.
fn in_flight(retransmits: u32, send_window: u64) -> Outstanding {
    Outstanding {
        packets_out: 1,
        retransmits,
        unacknowledged: 100,
        send_window,
        ..Outstanding::default()
    }
}

#[test]
fn states_that_tell_all() {
    let check_state = |state, expected, why| {
        check(&established().in_state(state), expected, why);
    };
    check_state(State::Listen, Liveness::Listening, "a listener");
    check_state(State::Close, Liveness::Closing, "closed");
    check_state(State::TimeWait, Liveness::Closing, "TIME_WAIT");
    let why = "TIME_WAIT; the kernel ends it in 42 s";
    let half_over = established().in_state(State::TimeWait).with(|it| {
        it.timer = Ok(timer(TimerKind::TimeWait, seconds(42)));
        it.outstanding = Err(Unknown::NotOfThisKind);
        it.orphaned = true;
    });
    check(&half_over, Liveness::Closing, why);
    let why = "FIN_WAIT1: the peer has not confirmed the end yet";
    check_state(State::FinWait1, Liveness::Closing, why);
    let why = "CLOSING: the peer has not confirmed the end yet";
    check_state(State::Closing, Liveness::Closing, why);
    let why = "LAST_ACK: the peer has not confirmed the end yet";
    check_state(State::LastAck, Liveness::Closing, why);
    let why = "FIN_WAIT2, held by its application: waits for the peer's end without limit";
    check_state(State::FinWait2, Liveness::HalfClosed, why);
    let why = "CLOSE_WAIT: the peer has ended its half";
    check_state(State::CloseWait, Liveness::HalfClosed, why);
    check_state(State::Established, Liveness::Healthy, "heard 1 s ago");
}

#[test]
fn handshakes() {
    let cases = [
        (State::SynSent, 0, "SYN sent, no answer yet"),
        (State::SynSent, 1, "no answer to its SYN, resent 1 time"),
        (State::SynSent, 3, "no answer to its SYN, resent 3 times"),
        (
            State::SynRecv,
            0,
            "waiting for the handshake's last ACK, 0 SYN-ACKs resent",
        ),
        (
            State::SynRecv,
            1,
            "waiting for the handshake's last ACK, 1 SYN-ACK resent",
        ),
    ];
    for (state, retransmits, why) in cases {
        let connection = established().in_state(state);
        let connection = connection.with_outstanding(in_flight(retransmits, 0));
        check(&connection, Liveness::Embryonic, why);
    }
    for (state, why) in [
        (State::SynSent, "no answer to its SYN"),
        (State::SynRecv, "waiting for the handshake's last ACK"),
    ] {
        let connection = established().in_state(state);
        let connection = connection.with(|it| it.outstanding = Err(Unknown::NotInSockDiag));
        check(&connection, Liveness::Embryonic, why);
    }
}

#[test]
fn idle_and_its_guard() {
    let cases = [
        (guarded(), Guard::Keepalive, "idle for 2h, keepalive on"),
        (
            established(),
            Guard::None,
            "idle for 2h, no keepalive: a dead peer would never be found",
        ),
        // TCP_USER_TIMEOUT alone guards nothing (scenario 6).
        (
            established().with(|it| it.user_timeout = Ok(Some(seconds(5)))),
            Guard::None,
            "idle for 2h, no keepalive: a dead peer would never be found",
        ),
        // Neither does a guard of 0 settings make it none.
        (
            guarded().with(|it| it.keepalive = Ok(keepalive(0, 0, 0))),
            Guard::Keepalive,
            "idle for 2h, keepalive on",
        ),
    ];
    for (connection, guard, why) in cases {
        check(
            &connection.silent_for(seconds(7_200)),
            Liveness::Idle(guard),
            why,
        );
    }
    check(
        &established().silent_for(milliseconds(299_999)),
        Liveness::Healthy,
        "heard 4m59s ago",
    );
    let at = established().silent_for(seconds(300));
    let why = "idle for 5m, no keepalive: a dead peer would never be found";
    check(&at, Liveness::Idle(Guard::None), why);
    // Answered keepalive probes are no use of the connection.
    let probing = guarded()
        .silent_for(seconds(400))
        .with(|it| it.last_ack = Ok(seconds(2)));
    let why = "idle for 6m40s, keepalive on";
    check(&probing, Liveness::Idle(Guard::Keepalive), why);
    // Data either way is.
    for used in [
        at.clone().with(|it| it.last_sent = Ok(seconds(3))),
        at.clone().with(|it| it.last_received = Ok(seconds(3))),
    ] {
        assert_eq!(
            classify(&used, &Thresholds::default()).liveness,
            Liveness::Healthy
        );
    }
    // Data under way has its own timer.
    let waiting = at.with_outstanding(in_flight(0, 1_000));
    check(&waiting, Liveness::Healthy, "data under way, heard 5m ago");
}

#[test]
fn thresholds_of_0() {
    let zero = Thresholds {
        idle: seconds(0),
        close_wait: seconds(0),
    };
    let now = established().silent_for(seconds(0));
    assert_eq!(classify(&now, &zero).liveness, Liveness::Idle(Guard::None));
    let close_wait = now.in_state(State::CloseWait);
    assert_eq!(
        classify(&close_wait, &zero).liveness,
        Liveness::StaleCloseWait
    );
}

#[test]
fn unknown_facts() {
    let diag = Some(Unknown::NotInSockDiag);
    let kernel = Some(Unknown::NotOnThisKernel);
    let idle = || established().silent_for(seconds(7_200));
    // The guard.
    let unguarded = idle().with(|it| it.keepalive = Err(Unknown::NotInSockDiag));
    let why = "idle for 2h, whether keepalive is on is unknown: sock_diag does not tell";
    check_unknown(&unguarded, Liveness::Idle(Guard::Unknown), why, diag);
    // In use: the guard decides nothing.
    let used = established().with(|it| it.keepalive = Err(Unknown::NotInSockDiag));
    check(&used, Liveness::Healthy, "heard 1 s ago");
    // Keepalive probes out tell that keepalive is on.
    let probing = unguarded.clone().with_outstanding(probed(1, Some(600)));
    let why = "1 keepalive probe unanswered, silent for 2h";
    check(&probing, SUSPECT_KEEPALIVE, why);
    // What is outstanding comes first.
    let blind = unguarded.with(|it| it.outstanding = Err(Unknown::NotOnThisKernel));
    let why = "idle for 2h, whether keepalive is on is unknown: sock_diag does not tell";
    check_unknown(&blind, Liveness::Idle(Guard::Unknown), why, kernel);
    let blind = established().with(|it| it.outstanding = Err(Unknown::NotOnThisKernel));
    check_unknown(&blind, Liveness::Healthy, "heard 1 s ago", kernel);
    // Ages: one that is young is enough, one that is old is not.
    let young = idle().with(|it| {
        it.last_sent = Err(Unknown::NotInSockDiag);
        it.last_received = Ok(seconds(3));
    });
    check(&young, Liveness::Healthy, "heard 3 s ago");
    let old = idle().with(|it| it.last_sent = Err(Unknown::NotInSockDiag));
    let why = "since when it is idle is unknown: sock_diag does not tell";
    check_unknown(&old, Liveness::Healthy, why, diag);
    let close_wait = old.in_state(State::CloseWait);
    let why = "CLOSE_WAIT, since when it is idle is unknown: sock_diag does not tell";
    check_unknown(&close_wait, Liveness::HalfClosed, why, diag);
    // Silence that is unknown is left out.
    let silent = established()
        .with_outstanding(in_flight(3, 1_000))
        .with(|it| {
            it.last_ack = Err(Unknown::NotInSockDiag);
            it.last_received = Err(Unknown::NotInSockDiag);
        });
    check(
        &silent,
        SUSPECT_RETRANSMISSION,
        "3 retransmissions unanswered",
    );
}

#[test]
fn labels_are_distinct_and_in_order() {
    let mut labels = Liveness::ALL.map(Liveness::as_str).to_vec();
    assert!(labels.is_sorted(), "{labels:?}");
    labels.dedup();
    // The four kinds of suspect share theirs.
    assert_eq!(labels.len(), Liveness::ALL.len() - 3);
    let mut variants = Liveness::ALL.to_vec();
    variants.sort_unstable();
    variants.dedup();
    assert_eq!(variants.len(), Liveness::ALL.len());
    let guards = Guard::ALL.map(Guard::as_str);
    assert_eq!(guards, ["keepalive", "none", "unknown"]);
    let evidence = Evidence::ALL.map(Evidence::as_str);
    assert_eq!(
        evidence,
        [
            "keepalive",
            "local_send_failure",
            "retransmission",
            "window_probe"
        ]
    );
}

#[test]
fn the_worst_first() {
    let mut all = Liveness::ALL;
    all.sort_by_key(|liveness| std::cmp::Reverse(liveness.severity()));
    assert_eq!(
        all,
        [
            SUSPECT_KEEPALIVE,
            SUSPECT_LOCAL_SEND,
            SUSPECT_RETRANSMISSION,
            SUSPECT_WINDOW_PROBE,
            Liveness::Stalled,
            Liveness::StaleCloseWait,
            Liveness::StaleFinWait2,
            Liveness::Idle(Guard::None),
            Liveness::Orphan,
            Liveness::ZeroWindow,
            Liveness::Unaccepted,
            Liveness::HalfClosed,
            Liveness::Idle(Guard::Unknown),
            Liveness::Embryonic,
            Liveness::Idle(Guard::Keepalive),
            Liveness::Closing,
            Liveness::Healthy,
            Liveness::Listening,
        ]
    );
    let zombies: Vec<_> = all.into_iter().filter(|it| it.is_zombie()).collect();
    assert_eq!(zombies, [&all[..4], &all[5..9]].concat());
}
