use super::*;
use crate::sockets::sock_diag::fixture;

const NOT_TOLD: Unknown = Unknown::NotInSockDiag;
const NO_SUCH: Unknown = Unknown::NotOfThisKind;

fn namespace() -> Namespace {
    Namespace {
        inode: 4_026_531_840,
        policy: Ok(Arc::new(Policy::default())),
    }
}

/// The connection that this answer, changed, becomes.
fn connection(change: impl FnOnce(&mut Answer)) -> Connection {
    let mut answer = fixture::answer();
    change(&mut answer);
    namespace().connection(&answer).unwrap()
}

/// The same, with `struct tcp_info` and the running timer (number, ms) changed.
fn timed(timer: (u8, u32), change: impl FnOnce(&mut Info)) -> Connection {
    connection(|answer| {
        (answer.facts.timer, answer.facts.expires_ms) = timer;
        change(answer.info.as_mut().unwrap());
    })
}

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn running(kind: TimerKind, left: u64) -> Known<Option<Timer>> {
    let left = milliseconds(left);
    Ok(Some(Timer { kind, left }))
}

#[test]
fn an_established_connection() {
    let expected = Connection {
        sock: 7,
        cookie: Some(7),
        netns: 4_026_531_840,
        local: "10.0.0.1:443".parse().unwrap(),
        remote: "10.0.0.2:50000".parse().unwrap(),
        state: State::Established,
        direction: Direction::Outbound,
        owner: Err(Unknown::NotOfThisKind),
        cgroup: Ok(99),
        uid: Ok(1000),
        orphaned: false,
        acceptance: Ok(Acceptance::Accepted),
        accept_queue: Err(Unknown::NotOfThisKind),
        mptcp: true,
        keepalive: Err(NOT_TOLD),
        user_timeout: Err(NOT_TOLD),
        policy: Ok(Arc::new(Policy::default())),
        rto: Ok(milliseconds(204)),
        rtt: Ok(Duration::from_micros(100)),
        last_ack: Ok(milliseconds(5_000)),
        last_received: Ok(milliseconds(7_000)),
        last_sent: Ok(milliseconds(9_000)),
        last_out_of_window: Err(NOT_TOLD),
        carried: Ok(CarriedBytes {
            sent: 70_000_000_000,
            received: 678,
        }),
        limits: Err(NOT_TOLD),
        outstanding: Ok(Outstanding {
            packets_out: 2,
            retransmits: 3,
            probes: 0,
            latest_probe: None,
            unacknowledged: 5_000,
            unsent: 1_000,
            unread: 40,
            send_window: 65_536,
            ..Outstanding::default()
        }),
        timer: running(TimerKind::Retransmission, 150),
        memory: Ok(0),
        processes: Err(Unknown::NotAskedFor),
    };
    let found = connection(|answer| {
        answer.mptcp = true;
        answer.facts.timer = 1;
        answer.facts.expires_ms = 150;
        answer.facts.send_queue = 5_000;
        answer.facts.receive_queue = 40;
        let info = answer.info.as_mut().unwrap();
        (info.unacked, info.retransmits, info.unsent) = (2, 3, 1_000);
    });
    assert_eq!(found, expected);
}

#[test]
fn addresses_keep_their_family() {
    let local = |family, bytes: [u8; 16]| {
        connection(|answer| {
            answer.facts.family = family;
            answer.facts.ends.local = bytes;
        })
        .local
        .ip()
        .to_string()
    };
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
    assert_eq!(local(10, mapped), "::ffff:192.0.2.1");
    assert_eq!(local(10, Ipv6Addr::LOCALHOST.octets()), "::1");
    let mut v4 = [0xff; 16];
    v4[..4].copy_from_slice(&[192, 0, 2, 1]);
    assert_eq!(local(2, v4), "192.0.2.1");
}

#[test]
fn what_this_program_does_not_know_is_left_out() {
    let check = |family, state, expected| {
        let mut answer = fixture::answer();
        (answer.facts.family, answer.facts.state) = (family, state);
        let found = namespace().connection(&answer).is_some();
        assert_eq!(found, expected, "{family} {state}");
    };
    for state in 1..=11 {
        check(2, state, true);
        check(10, state, true);
    }
    check(2, 0, false);
    check(2, 13, false);
    check(2, 255, false);
    check(0, 1, false);
    check(1, 1, false);
}

#[test]
fn cookies_are_two_words() {
    let cookie = |words| connection(|answer| answer.facts.ends.cookie = words).cookie;
    assert_eq!(cookie([7, 0]), Some(7));
    assert_eq!(cookie([1, 2]), Some(2 << 32 | 1));
    assert_eq!(cookie([u32::MAX, u32::MAX]), Some(u64::MAX));
    assert_eq!(cookie([0, 0]), None);
}

#[test]
fn timers() {
    let check = |number, expected| {
        assert_eq!(timed((number, 250), |_| {}).timer, expected, "{number}");
    };
    check(0, Ok(None));
    check(1, running(TimerKind::Retransmission, 250));
    check(2, running(TimerKind::Keepalive, 250));
    check(3, running(TimerKind::TimeWait, 250));
    check(4, running(TimerKind::Persist, 250));
    check(5, Err(NOT_TOLD));
    check(255, Err(NOT_TOLD));
}

#[test]
fn a_listener_has_a_queue_and_no_past() {
    let listener = connection(|answer| {
        answer.facts.state = 10;
        answer.facts.receive_queue = 3;
        answer.facts.send_queue = 128;
    });
    assert_eq!(listener.direction, Direction::Inbound);
    let unread = Outstanding {
        unread: 3,
        ..Outstanding::default()
    };
    assert_eq!(listener.outstanding, Ok(unread));
    assert_eq!(listener.timer, Ok(None));
    assert_eq!(listener.keepalive, Err(NOT_TOLD));
    assert_eq!((listener.rto, listener.rtt), (Err(NO_SUCH), Err(NO_SUCH)));
    assert_eq!(listener.idle(), Err(NO_SUCH));
    assert_eq!(listener.silence(), Err(NO_SUCH));
    assert!(!listener.orphaned);
    let queue = AcceptQueue::of_one(5, 4);
    let full = connection(|answer| {
        answer.facts.state = 10;
        (answer.facts.receive_queue, answer.facts.send_queue) = (5, 4);
    });
    assert_eq!(
        (full.acceptance, full.accept_queue),
        (Err(NO_SUCH), Ok(queue))
    );
}

#[test]
fn who_was_not_accepted() {
    let check = |state: u8, inode, expected| {
        let it = connection(|answer| (answer.facts.state, answer.facts.inode) = (state, inode));
        assert_eq!(it.acceptance, expected, "{:?} {inode}", it.state);
    };
    check(1, 0, Ok(Acceptance::Queued));
    check(8, 0, Ok(Acceptance::Queued));
    check(1, 4711, Ok(Acceptance::Accepted));
    // Closed, not waiting.
    check(4, 0, Ok(Acceptance::Accepted));
    check(2, 4711, Err(NO_SUCH));
}

#[test]
fn a_request_is_inbound_and_counts_its_retransmissions() {
    let request = connection(|answer| {
        answer.info = None;
        let facts = &mut answer.facts;
        (facts.state, facts.timer, facts.expires_ms) = (3, 1, 900);
        (facts.retransmits, facts.uid, facts.inode) = (2, 0, 0);
    });
    assert_eq!(request.state, State::SynRecv);
    assert_eq!(request.direction, Direction::Inbound);
    let resent = Outstanding {
        retransmits: 2,
        ..Outstanding::default()
    };
    assert_eq!(request.outstanding, Ok(resent));
    assert_eq!(request.timer, running(TimerKind::Retransmission, 900));
    assert_eq!(
        (request.uid, request.cgroup),
        (Err(NOT_TOLD), Err(NOT_TOLD))
    );
    assert_eq!(request.keepalive, Err(NO_SUCH));
    assert_eq!(request.rto, Err(NO_SUCH));
    assert_eq!(request.acceptance, Err(NOT_TOLD));
    assert_eq!(request.memory, Err(NOT_TOLD));
    assert!(!request.orphaned);
    // A Fast Open child is a full socket.
    let child = connection(|answer| answer.facts.state = 3);
    assert_eq!(
        child.direction,
        Direction::Outbound,
        "until listeners are known"
    );
    assert_eq!(child.rto, Ok(milliseconds(204)));
}

#[test]
fn a_time_wait_has_its_timer_alone() {
    let time_wait = |state| {
        connection(|answer| {
            (answer.info, answer.memory, answer.cgroup) = (None, None, None);
            let facts = &mut answer.facts;
            (facts.state, facts.timer, facts.expires_ms) = (state, 3, 59_000);
            (facts.uid, facts.inode) = (0, 0);
        })
    };
    for (number, state, orphaned) in [(6, State::TimeWait, false), (5, State::FinWait2, true)] {
        let it = time_wait(number);
        assert_eq!((it.state, it.orphaned), (state, orphaned));
        assert_eq!(it.timer, running(TimerKind::TimeWait, 59_000));
        assert_eq!((it.uid, it.cgroup), (Err(NO_SUCH), Err(NO_SUCH)));
        assert_eq!(it.keepalive, Err(NO_SUCH));
        assert_eq!(it.user_timeout, Err(NO_SUCH));
        assert_eq!(it.outstanding, Err(NO_SUCH));
        assert_eq!(it.memory, Err(NOT_TOLD));
    }
}

#[test]
fn who_is_an_orphan() {
    let check = |state: u8, inode, expected| {
        let it = connection(|answer| (answer.facts.state, answer.facts.inode) = (state, inode));
        assert_eq!(it.orphaned, expected, "{:?} {inode}", it.state);
    };
    for state in [4, 5, 9, 11] {
        check(state, 0, true);
        check(state, 4711, false);
    }
    // Not accepted yet, or never anybody's.
    for state in [1, 2, 3, 7, 8, 10] {
        check(state, 0, false);
        check(state, 4711, false);
    }
}

#[test]
fn the_owner_goes_with_the_inode() {
    let check = |inode, uid, expected| {
        let it = connection(|answer| (answer.facts.inode, answer.facts.uid) = (inode, uid));
        assert_eq!(it.uid, expected);
    };
    check(4711, 0, Ok(0));
    check(4711, 1000, Ok(1000));
    check(0, 1000, Ok(1000));
    check(0, 0, Err(NOT_TOLD));
}

#[test]
fn before_the_handshakes_end_nothing_was_heard() {
    let connecting = connection(|answer| {
        answer.facts.state = 2;
        let info = answer.info.as_mut().unwrap();
        (info.rtt_us, info.retransmits, info.unacked) = (0, 4, 1);
    });
    assert_eq!(connecting.silence(), Err(NO_SUCH));
    assert_eq!(connecting.idle(), Err(NO_SUCH));
    assert_eq!(connecting.rtt, Err(NO_SUCH));
    assert_eq!(connecting.outstanding.unwrap().retransmits, 4);
}

#[test]
fn what_a_kernel_leaves_out_is_unknown() {
    let it = connection(|answer| {
        (answer.info, answer.memory, answer.cgroup) = (None, None, None);
    });
    let unknown = Unknown::NotOnThisKernel;
    assert_eq!((it.cgroup, it.memory), (Err(unknown), Err(unknown)));
    assert_eq!((it.rto, it.rtt), (Err(unknown), Err(unknown)));
    assert_eq!((it.silence(), it.idle()), (Err(unknown), Err(unknown)));
    assert_eq!(it.outstanding, Err(unknown));
    assert_eq!(it.carried, Err(unknown));
    assert_eq!(it.timer, Ok(None));
}

#[test]
fn memory_is_that_of_buffers_and_options() {
    let memory = |received, reserved, queued, options| {
        connection(|answer| {
            let memory = answer.memory.as_mut().unwrap();
            (memory.received, memory.reserved) = (received, reserved);
            (memory.queued, memory.options) = (queued, options);
        })
        .memory
    };
    assert_eq!(memory(1, 20, 300, 4_000), Ok(4_321));
    assert_eq!(memory(100, -4_096, 0, 0), Ok(100));
    let most = u64::from(i32::MAX.unsigned_abs());
    assert_eq!(memory(i32::MAX, i32::MAX, i32::MAX, i32::MAX), Ok(4 * most));
}

#[test]
fn probes_and_their_answers() {
    let check = |timer, change: fn(&mut Info), expected: (u32, Option<u64>)| {
        let it = timed(timer, change);
        let outstanding = it.outstanding.unwrap();
        let age = expected.1.map(milliseconds);
        let found = (outstanding.probes, outstanding.latest_probe);
        assert_eq!(found, (expected.0, age), "{:?}", it.timer);
    };
    // Window probes: a pause of 204 ms, doubled three times, of which 400 ms are left.
    check(
        (4, 400),
        |it| (it.probes, it.backoff) = (3, 3),
        (3, Some(1_232)),
    );
    // Heard since: not tcp_ack()'s doing, which would have reset the count.
    let heard = |it: &mut Info| {
        (it.probes, it.backoff, it.last_data_received_ms) = (3, 3, 1_231);
    };
    check((4, 400), heard, (0, None));
    check((4, 400), |it| it.backoff = 3, (0, None));
    // No pause is longer than TCP_RTO_MAX, nor shorter than TCP_RTO_MIN.
    let long = |it: &mut Info| {
        (it.probes, it.backoff, it.last_ack_received_ms) = (15, 255, 900_000);
        it.last_data_received_ms = 900_000;
    };
    check((4, 119_000), long, (15, Some(1_000)));
    check(
        (4, 50),
        |it| (it.probes, it.rto_us) = (1, 1),
        (1, Some(150)),
    );
    // A timer longer than the pause tells nothing.
    check((4, 500), |it| it.probes = 1, (1, None));
    // Keepalive probes: their interval is not told.
    check((2, 400), |it| it.probes = 2, (2, None));
    check(
        (2, 400),
        |it| (it.probes, it.last_ack_received_ms) = (2, 999),
        (0, None),
    );
    check(
        (2, 400),
        |it| (it.probes, it.last_ack_received_ms) = (2, 1_000),
        (2, None),
    );
    check((0, 0), |it| it.probes = 2, (2, None));
    check((1, 400), |it| it.probes = 2, (2, None));
}
