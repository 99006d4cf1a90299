//! Events made by hand: every kind, every way to die, and facts that are unknown.
//! It must never look at the machine: tests of views need no root and no kernel.

#![allow(dead_code, reason = "each test uses its own part")]

use std::time::Duration;

use halfopen::model::{
    connection::{Connection, Keepalive, Setting, State, Unknown},
    death,
    event::{Death, Event, Path, QueuedBytes, Sent, What},
    liveness::Evidence,
    snapshot::{Cause, Direction},
};
use halfopen_common::Ending;

use crate::connections::healthy;

/// 2025-11-24T16:00:00.123456Z.
pub const NOON: Duration = Duration::from_micros(1_764_000_000_123_456);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What an event tells of a connection: less than a walk does.
fn told() -> Connection {
    let none = Unknown::NotInEvents;
    Connection {
        owner: Err(Unknown::CgroupGone),
        policy: Err(none),
        rto: Err(none),
        rtt: Err(none),
        last_ack: Ok(ms(4_100)),
        last_received: Ok(ms(4_100)),
        last_sent: Err(none),
        outstanding: Err(none),
        timer: Err(none),
        memory: Err(none),
        keepalive: Ok(Keepalive {
            setting: Setting::Custom,
            idle: s(1),
            interval: s(1),
            probes: 3,
        }),
        ..healthy()
    }
}

/// A connection in good order, to which this happened.
pub fn event(what: What, change: impl FnOnce(&mut Event)) -> Event {
    let mut event = Event {
        at: NOON,
        what,
        connection: told(),
        age: Ok(s(90)),
        sent: Ok(Sent::default()),
        held: Ok(QueuedBytes::default()),
        error: None,
    };
    change(&mut event);
    event
}

fn sent(event: &mut Event, sent: Sent) {
    event.sent = Ok(sent);
}

fn died(cause: Cause, path: Path, reason: Option<&str>) -> What {
    What::Death(Death {
        cause,
        path,
        reset_reason: reason.map(Into::into),
    })
}

/// A death on this path, with nothing special about it.
pub fn death_by(ending: Ending) -> Event {
    let cause = death::cause(ending).unwrap();
    let path = death::path(ending).unwrap();
    event(died(cause, path, None), |_| {})
}

/// One of every kind, in the order of one connection's life.
pub fn kinds() -> Vec<Event> {
    let probed = |event: &mut Event, unanswered| {
        sent(
            event,
            Sent {
                keepalive_probes: 12,
                keepalive_probes_answered: 10,
                unanswered,
                ..Sent::default()
            },
        );
    };
    let mut events = vec![
        event(What::Probe(Evidence::Keepalive), |it| probed(it, 1)),
        event(What::Answer(Evidence::Keepalive), |it| {
            it.connection.last_ack = Ok(ms(2));
            probed(it, 1);
        }),
        event(What::Probe(Evidence::Keepalive), |it| {
            it.connection.user_timeout = Ok(Some(s(30)));
            probed(it, 2);
        }),
        event(What::Probe(Evidence::WindowProbe), |it| {
            it.sent = Ok(Sent {
                window_probes: 4,
                unanswered: 4,
                ..Sent::default()
            });
        }),
        event(What::Answer(Evidence::WindowProbe), |it| {
            it.connection.last_ack = Ok(ms(0));
        }),
        event(What::Timeout, |it| {
            it.sent = Ok(Sent {
                retransmission_timeouts: 5,
                unanswered: 5,
                ..Sent::default()
            });
        }),
    ];
    for evidence in [
        Evidence::Keepalive,
        Evidence::Retransmission,
        Evidence::WindowProbe,
    ] {
        events.push(event(What::Recovery(evidence), |it| {
            it.connection.last_received = Ok(ms(350));
            probed(it, 3);
        }));
    }
    events.extend([
        event(What::ResetSent("tcp_abort_on_close".into()), |_| {}),
        event(What::ResetReceived, |it| {
            it.connection.last_ack = Ok(ms(0));
        }),
    ]);
    events
}

/// The deaths that matter, each with the figures that tell it from others.
pub fn deaths() -> Vec<Event> {
    let died = |cause, path| died(cause, path, None);
    vec![
        event(died(Cause::Keepalive, Path::Idle), |it| {
            it.sent = Ok(Sent {
                keepalive_probes: 13,
                keepalive_probes_answered: 10,
                unanswered: 3,
                resets_sent: 1,
                ..Sent::default()
            });
            it.error = Some(110);
        }),
        event(died(Cause::UserTimeout, Path::Data), |it| {
            it.connection.user_timeout = Ok(Some(s(30)));
            it.connection.last_ack = Ok(s(31));
            it.connection.last_received = Ok(s(40));
            it.sent = Ok(Sent {
                retransmission_timeouts: 7,
                unanswered: 7,
                ..Sent::default()
            });
            it.held = Ok(QueuedBytes {
                unacknowledged: 131_072,
                unread: 17,
            });
        }),
        event(died(Cause::WindowProbe, Path::ZeroWindow), |it| {
            it.connection.keepalive = Ok(Keepalive {
                setting: Setting::Default,
                idle: s(7_200),
                interval: s(75),
                probes: 9,
            });
            it.age = Ok(s(3 * 86_400 + 5 * 3_600));
            it.sent = Ok(Sent {
                keepalive_probes: 1,
                keepalive_probes_answered: 1,
                window_probes: 1_204,
                window_probes_answered: 1_189,
                unanswered: 15,
                ..Sent::default()
            });
        }),
        event(died(Cause::ConnectTimeout, Path::Handshake), |it| {
            it.connection.state = State::SynSent;
            it.connection.direction = Direction::Outbound;
            it.connection.last_ack = Err(Unknown::NeverHeard);
            it.connection.last_received = Err(Unknown::NeverHeard);
            it.connection.keepalive = Ok(Keepalive {
                setting: Setting::Off,
                idle: s(7_200),
                interval: s(75),
                probes: 9,
            });
            it.sent = Ok(Sent {
                retransmission_timeouts: 7,
                unanswered: 7,
                ..Sent::default()
            });
            it.held = Ok(QueuedBytes {
                unacknowledged: 1,
                unread: 0,
            });
        }),
        event(died(Cause::Refused, Path::Handshake), |it| {
            it.connection.state = State::SynSent;
            it.connection.direction = Direction::Outbound;
            it.connection.last_ack = Err(Unknown::NeverHeard);
            it.connection.last_received = Err(Unknown::NeverHeard);
            it.connection.cookie = None;
            it.age = Ok(Duration::from_micros(40));
            it.error = Some(111);
        }),
        event(died(Cause::Orphan, Path::Orphan), |it| {
            it.connection.state = State::FinWait1;
            it.connection.orphaned = true;
            it.sent = Ok(Sent {
                retransmission_timeouts: 9,
                unanswered: 8,
                ..Sent::default()
            });
        }),
        event(died(Cause::Unknown, Path::Unseen), |it| {
            it.error = Some(113);
        }),
    ]
}

/// Facts that are unknown, and addresses of every form.
pub fn oddities() -> Vec<Event> {
    let reset = || {
        died(
            Cause::ResetSent,
            Path::ResetSent,
            Some("tcp_abort_on_close"),
        )
    };
    vec![
        // The table of records was full, and the hooks came after the connection.
        event(died(Cause::ResetSent, Path::ResetSent, None), |it| {
            it.sent = Err(Unknown::NoRecord);
            it.age = Err(Unknown::BeginningUnseen);
            it.connection.cookie = None;
        }),
        // The kernel's clock could not be told.
        event(died(Cause::Retransmission, Path::Data, None), |it| {
            it.connection.last_ack = Err(Unknown::NotOnThisKernel);
            it.connection.last_received = Err(Unknown::NotOnThisKernel);
            it.connection.keepalive = Err(Unknown::NotOnThisKernel);
            it.connection.cgroup = Err(Unknown::NotOnThisKernel);
        }),
        // A request whose SYN-ACKs stayed unanswered.
        event(died(Cause::ConnectTimeout, Path::Handshake, None), |it| {
            let none = Unknown::NotOfThisKind;
            it.connection.state = State::SynRecv;
            it.connection.last_ack = Err(Unknown::NeverHeard);
            it.connection.last_received = Err(Unknown::NeverHeard);
            it.connection.keepalive = Err(none);
            it.connection.user_timeout = Err(none);
            it.sent = Err(none);
            it.held = Err(none);
            it.age = Ok(s(63));
        }),
        // Answers a segment of no connection.
        event(What::ResetSent("no_socket".into()), |it| {
            let none = Unknown::NotOfThisKind;
            it.connection.state = State::Close;
            it.connection.direction = Direction::None;
            it.connection.cookie = None;
            it.connection.last_ack = Err(none);
            it.connection.last_received = Err(none);
            it.connection.keepalive = Err(none);
            it.connection.user_timeout = Err(none);
            it.connection.cgroup = Err(none);
            it.connection.uid = Err(none);
            it.sent = Err(none);
            it.held = Err(none);
            it.age = Err(none);
        }),
        event(reset(), |it| {
            it.connection.local = "[2001:db8::1]:443".parse().unwrap();
            it.connection.remote = "[2001:db8:85a3:aaaa:bbbb:cccc:dddd:eeee]:65535"
                .parse()
                .unwrap();
            it.held = Ok(QueuedBytes {
                unacknowledged: 0,
                unread: 2_400,
            });
        }),
        event(reset(), |it| {
            it.connection.local = "[::ffff:10.0.0.1]:8080".parse().unwrap();
            it.connection.remote = "[::ffff:198.51.100.200]:51004".parse().unwrap();
            it.connection.mptcp = true;
        }),
        event(reset(), |it| {
            it.connection.owner = Ok("evil\u{1b}[2J\nname\u{202e}".into());
        }),
        event(reset(), |it| {
            it.connection.owner =
                Ok("kubepods-burstable-pod0a1b2c3d_0123456789abcdef0123456789abcdef.slice".into());
            // Before the epoch's calendar ends, and after it.
            it.at = Duration::from_secs(u64::MAX);
        }),
        // The columns that have grown stay as wide.
        event(What::ResetReceived, |_| {}),
    ]
}

/// All of it.
pub fn everything() -> Vec<Event> {
    let by_path = Ending::ALL.into_iter().map(death_by);
    let all = [kinds(), deaths(), by_path.collect(), oddities()];
    all.concat()
}
