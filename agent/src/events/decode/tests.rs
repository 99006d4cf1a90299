//! EventDecoder as the programs write them, and what is made of each.

use std::{collections::HashMap, net::Ipv6Addr};

use halfopen_common::{NetKey, ResetReason, state};
use zerocopy::FromZeros as _;

use super::*;
use crate::bpf::address::AF_INET;
use halfopen_core::model::death::{Cause, Path};

/// An established connection of ours, heard 2 s ago, whose SYN was sent 5 s ago.
fn raw(what: u8) -> EventRecord {
    let mut raw = EventRecord::new_zeroed();
    raw.kind = what;
    raw.at_ns = 100_000_000_000;
    raw.established_ns = 95_000_000_000;
    raw.silence_ns = 2_000_000_000;
    raw.idle_before_close_ns = EventRecord::UNKNOWN;
    raw.sock = 0xffff_8880_0000_1000;
    raw.cookie = 42;
    raw.keepalive_idle = 15_000;
    raw.keepalive_interval = 2_500;
    raw.keepalive_probes = 3;
    raw.keepalive = guard::CUSTOM;
    raw.unacknowledged = 10;
    raw.unread = 20;
    raw.bytes_sent = 5_000_000_000;
    raw.bytes_received = 6;
    raw.record = Record {
        net: NetKey {
            cookie: 1,
            inum: 4_026_531_840,
            padding: 0,
        },
        cgroup: 77,
        local: "::ffff:10.0.0.1".parse::<Ipv6Addr>().unwrap().octets(),
        remote: "::ffff:192.0.2.7".parse::<Ipv6Addr>().unwrap().octets(),
        uid: 33,
        family: AF_INET,
        local_port: 40_000,
        remote_port: 443,
        direction: direction::OUTBOUND,
        state: state::ESTABLISHED,
        keepalive_probes: 4,
        keepalive_answered: 1,
        window_probes: 5,
        window_answered: 2,
        retransmission_timeouts: 6,
        resets_sent: 1,
        resets_received: 7,
        unanswered: 3,
        outstanding: Outstanding::KEEPALIVE,
        reset_reason: 3,
        ..Record::new_zeroed()
    };
    raw
}

fn decoder() -> EventDecoder {
    let actual = HashMap::from([(3, "tcp_rfc7323_paws".to_owned())]);
    let mut decoder = EventDecoder::new(Reasons::new(&actual), Some(250), Owners::open(0, false));
    decoder.wall = Duration::from_secs(1_764_000_000);
    decoder
}

fn with(what: u8, change: impl FnOnce(&mut EventRecord)) -> Option<Event> {
    let mut raw = raw(what);
    change(&mut raw);
    decoder().event(&raw)
}

#[test]
fn what_happened() {
    let check = |what, change: fn(&mut EventRecord), expected| {
        let event = with(what, change);
        assert_eq!(event.map(|event| event.kind), expected);
    };
    let outstanding = [
        (Outstanding::KEEPALIVE, Evidence::Keepalive),
        (Outstanding::WINDOW, Evidence::WindowProbe),
        (Outstanding::CLOSED_WINDOW, Evidence::WindowProbe),
        (Outstanding::RETRANSMISSION, Evidence::Retransmission),
    ];
    for (number, evidence) in outstanding {
        for (what, expected) in [
            (event_kind::PROBE, EventKind::Probe(evidence)),
            (event_kind::ANSWER, EventKind::Answer(evidence)),
            (event_kind::RECOVERY, EventKind::Recovery(evidence)),
        ] {
            let event = with(what, |raw| raw.record.outstanding = number);
            assert_eq!(event.unwrap().kind, expected);
        }
    }
    check(event_kind::TIMEOUT, |_| {}, Some(EventKind::Timeout));
    check(
        event_kind::RESET_RECEIVED,
        |_| {},
        Some(EventKind::ResetReceived),
    );
    let paws = || Some(EventKind::ResetSent("tcp_rfc7323_paws".into()));
    check(event_kind::RESET_SENT, |_| {}, paws());
    let inferred = |raw: &mut EventRecord| {
        raw.record.reset_reason = u8::try_from(ResetReason::ABORT_ON_CLOSE).unwrap();
    };
    let expected = Some(EventKind::ResetSent("tcp_abort_on_close".into()));
    check(event_kind::RESET_SENT, inferred, expected);
    let beyond = |raw: &mut EventRecord| raw.record.reset_reason = 255;
    check(
        event_kind::RESET_SENT,
        beyond,
        Some(EventKind::ResetSent("unknown".into())),
    );
    // Kinds, and parts of a kind, that this program does not know.
    check(0, |_| {}, None);
    check(8, |_| {}, None);
    check(255, |_| {}, None);
    check(event_kind::PROBE, |raw| raw.record.outstanding = 0, None);
    check(
        event_kind::ANSWER,
        |raw| raw.record.outstanding = Outstanding::CLOSED_WINDOW + 1,
        None,
    );
    check(event_kind::TIMEOUT, |raw| raw.record.state = 0, None);
    check(event_kind::DEATH, |raw| raw.record.ending = 0, None);
    check(event_kind::DEATH, |raw| raw.record.ending = 32, None);
}

#[test]
fn deaths() {
    for ending in Ending::ALL {
        let event = with(event_kind::DEATH, |raw| {
            raw.record.ending = ending as u8;
            raw.idle_before_close_ns = 3_000_000_000;
        })
        .unwrap();
        let expected = EventKind::Death(Death {
            cause: death::cause(ending).unwrap(),
            path: death::path(ending).unwrap(),
            reset_reason: Some(if ending == Ending::ClosedWhilePeerSent {
                "tcp_abort_on_data".into()
            } else {
                "tcp_rfc7323_paws".into()
            }),
            inferred: false,
            idle_before_close: Some(Ok(Duration::from_secs(3))),
        });
        assert_eq!(event.kind, expected);
    }
    // No reset, or none that a record tells of: no reason.
    let never = |raw: &mut EventRecord| {
        raw.record.ending = Ending::Keepalive as u8;
        raw.record.resets_sent = 0;
    };
    let unknown = |raw: &mut EventRecord| {
        raw.record.ending = Ending::Keepalive as u8;
        raw.flags = event_flags::NO_RECORD;
    };
    let changes: [fn(&mut EventRecord); 2] = [never, unknown];
    for change in changes {
        let expected = EventKind::Death(Death {
            cause: Cause::Keepalive,
            path: Path::Idle,
            reset_reason: None,
            inferred: false,
            idle_before_close: None,
        });
        assert_eq!(with(event_kind::DEATH, change).unwrap().kind, expected);
    }
}

#[test]
fn a_close_that_no_hook_saw_has_no_idle_time() {
    let idle = |ending: Ending| {
        let event = with(event_kind::DEATH, |raw| {
            raw.record.ending = ending as u8;
            raw.flags |= event_flags::INFERRED;
        });
        let EventKind::Death(death) = event.unwrap().kind else {
            panic!("a death is none");
        };
        assert!(death.inferred);
        death.idle_before_close
    };
    let unseen = Some(Err(Unknown::BeginningUnseen));
    assert_eq!(idle(Ending::ClosedWhilePeerSent), unseen);
    assert_eq!(idle(Ending::Retransmission), None);
}

/// Of a connection whose own cgroup is another's.
#[test]
fn only_an_inbound_connection_was_accepted() {
    let accepted_by = |change: fn(&mut EventRecord)| {
        let event = with(event_kind::TIMEOUT, |raw| {
            raw.record.direction = direction::INBOUND;
            raw.record.cgroup = u64::MAX;
            change(raw);
        });
        event.unwrap().accepted_by
    };
    assert_eq!(accepted_by(|_| {}), Err(Unknown::AcceptUnseen));
    // Whatever it is called here, the owner of its cgroup.
    let root = |raw: &mut EventRecord| raw.accepted_by = 1;
    assert_eq!(accepted_by(root), Owners::open(0, false).of(Ok(1)));
    let others: [fn(&mut EventRecord); 3] = [
        |raw| raw.record.direction = direction::OUTBOUND,
        |raw| raw.flags |= event_flags::REQUEST,
        |raw| raw.flags |= event_flags::STRAY,
    ];
    for change in others {
        assert_eq!(accepted_by(change), Err(Unknown::NotOfThisKind));
    }
}

#[test]
fn a_full_socket_in_the_units_people_use() {
    let event = with(event_kind::TIMEOUT, |raw| raw.error = 110).unwrap();
    assert_eq!(event.at, Duration::from_secs(1_764_000_100));
    assert_eq!(event.age, Ok(Duration::from_secs(5)));
    assert_eq!(event.error, Some(110));
    assert_eq!(
        event.held,
        Ok(QueuedBytes {
            unacknowledged: 10,
            unread: 20,
        })
    );
    assert_eq!(
        event.connection.carried,
        Ok(CarriedBytes {
            sent: 5_000_000_000,
            received: 6,
        })
    );
    assert_eq!(
        event.sent,
        Ok(Sent {
            keepalive_probes: 4,
            keepalive_probes_answered: 1,
            window_probes: 5,
            window_probes_answered: 2,
            retransmission_timeouts: 6,
            unanswered: 3,
            resets_sent: 1,
            resets_received: 7,
        })
    );
    let it = event.connection;
    assert_eq!(it.local.to_string(), "10.0.0.1:40000");
    assert_eq!(it.remote.to_string(), "192.0.2.7:443");
    assert_eq!((it.netns, it.cookie), (4_026_531_840, Some(42)));
    assert_eq!(
        (it.state, it.direction),
        (State::Established, Direction::Outbound)
    );
    assert_eq!((it.cgroup, it.uid), (Ok(77), Ok(33)));
    assert_eq!((it.orphaned, it.mptcp), (false, false));
    assert_eq!(it.silence(), Ok(Duration::from_secs(2)));
    assert_eq!(it.user_timeout, Ok(None));
    // 250 jiffies a second.
    assert_eq!(
        it.keepalive,
        Ok(Keepalive {
            setting: Setting::Custom,
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            probes: 3,
        })
    );
    assert_eq!(it.policy, Err(Unknown::NotInEvents));
}

#[test]
fn what_is_unknown_says_why() {
    let event = with(event_kind::RESET_RECEIVED, |raw| {
        raw.flags = event_flags::NO_RECORD | event_flags::ORPHAN | event_flags::MPTCP;
        raw.established_ns = 0;
        raw.silence_ns = EventRecord::UNKNOWN;
        raw.cookie = 0;
        raw.record.cgroup = 0;
        raw.record.user_timeout_ms = 30_000;
    })
    .unwrap();
    assert_eq!(event.sent, Err(Unknown::NoRecord));
    assert_eq!(event.age, Err(Unknown::BeginningUnseen));
    assert_eq!(event.error, None);
    let it = event.connection;
    assert_eq!(it.silence(), Err(Unknown::NotOnThisKernel));
    assert_eq!(
        (it.cookie, it.cgroup),
        (None, Err(Unknown::NotOnThisKernel))
    );
    assert_eq!((it.orphaned, it.mptcp), (true, true));
    assert_eq!(it.user_timeout, Ok(Some(Duration::from_secs(30))));

    let unheard = with(event_kind::TIMEOUT, |raw| {
        raw.flags = event_flags::UNHEARD;
        raw.silence_ns = EventRecord::UNKNOWN;
        raw.record.state = state::SYN_SENT;
    })
    .unwrap();
    assert_eq!(unheard.connection.silence(), Err(Unknown::NeverHeard));
    assert_eq!(unheard.connection.state, State::SynSent);

    for hz in [None, Some(0)] {
        let clockless =
            EventDecoder::new(Reasons::new(&HashMap::new()), hz, Owners::open(0, false));
        let event = clockless.event(&raw(event_kind::TIMEOUT)).unwrap();
        assert_eq!(event.connection.keepalive, Err(Unknown::NotOnThisKernel));
    }
}

#[test]
fn a_request_has_no_settings_and_no_data() {
    let event = with(event_kind::DEATH, |raw| {
        raw.flags = event_flags::REQUEST | event_flags::UNHEARD | event_flags::NO_RECORD;
        raw.silence_ns = EventRecord::UNKNOWN;
        raw.keepalive = guard::UNKNOWN;
        raw.record.state = state::NEW_SYN_RECV;
        raw.record.direction = direction::INBOUND;
        raw.record.ending = Ending::RequestExpired as u8;
    })
    .unwrap();
    let none = Unknown::NotOfThisKind;
    assert_eq!(event.sent, Err(none));
    assert_eq!(
        (event.held, event.connection.carried),
        (Err(none), Err(none))
    );
    assert_eq!(event.age, Ok(Duration::from_secs(5)));
    let it = event.connection;
    assert_eq!(
        (it.state, it.direction),
        (State::SynRecv, Direction::Inbound)
    );
    assert_eq!(it.silence(), Err(Unknown::NeverHeard));
    assert_eq!((it.keepalive, it.user_timeout), (Err(none), Err(none)));
    assert_eq!((it.cgroup, it.uid), (Ok(77), Ok(33)));
}

#[test]
fn a_stray_reset_is_of_no_connection() {
    let stray = |cgroup, direction| {
        let event = with(event_kind::RESET_SENT, |raw| {
            raw.flags = event_flags::STRAY | event_flags::NO_RECORD;
            raw.silence_ns = EventRecord::UNKNOWN;
            raw.keepalive = guard::UNKNOWN;
            raw.established_ns = 0;
            raw.sock = 0;
            raw.record.state = 0;
            raw.record.cgroup = cgroup;
            raw.record.direction = direction;
        });
        event.unwrap()
    };
    // Somebody listens there.
    let it = stray(77, direction::INBOUND).connection;
    assert_eq!((it.cgroup, it.direction), (Ok(77), Direction::Inbound));
    let event = stray(0, direction::NONE);
    let none = Unknown::NotOfThisKind;
    assert_eq!(event.age, Err(none));
    assert_eq!((event.sent, event.held), (Err(none), Err(none)));
    assert_eq!(event.connection.carried, Err(none));
    let it = event.connection;
    assert_eq!((it.state, it.direction), (State::Close, Direction::None));
    assert_eq!((it.cgroup, it.uid), (Err(none), Err(none)));
    assert_eq!(it.silence(), Err(none));
    assert_eq!((it.keepalive, it.user_timeout), (Err(none), Err(none)));
}

#[test]
fn addresses_by_family() {
    const AF_INET6: u16 = 10;
    let check = |family, bytes: &str, expected: &str| {
        let octets = bytes.parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(address(family, octets, 443).to_string(), expected);
    };
    check(AF_INET, "::ffff:10.0.0.1", "10.0.0.1:443");
    check(AF_INET6, "::ffff:10.0.0.1", "[::ffff:10.0.0.1]:443");
    check(AF_INET6, "2001:db8::1", "[2001:db8::1]:443");
    check(AF_INET6, "::1", "[::1]:443");
}

#[test]
fn the_time_of_day_is_added() {
    let mut decoder = decoder();
    decoder.set_clock();
    let day = Duration::from_secs(86_400);
    // Later than this was written, and less than the machine's uptime before now.
    assert!(decoder.wall > 20_000 * day, "{:?}", decoder.wall);
}
