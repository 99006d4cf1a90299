//! Connections made by hand, one for each way to fare, and some with names out to do harm.
//! It must never look at the machine: tests of views need no root and no kernel.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{sync::Arc, time::Duration};

use halfopen_core::model::{
    connection::{
        Connection, Holder, Keepalive, Outstanding, Policy, Setting, State, Timer, TimerKind,
        Unknown,
    },
    snapshot::Direction,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A healthy connection of nginx, heard 1.5 s ago.
pub fn healthy() -> Connection {
    Connection {
        sock: 1,
        cookie: Some(4242),
        netns: 4_026_531_840,
        local: "10.0.0.1:443".parse().unwrap(),
        remote: "192.0.2.7:51000".parse().unwrap(),
        state: State::Established,
        direction: Direction::Inbound,
        owner: Ok("nginx.service".into()),
        cgroup: Ok(77),
        uid: Ok(33),
        orphaned: false,
        mptcp: false,
        keepalive: Ok(Keepalive {
            setting: Setting::Default,
            idle: s(7200),
            interval: s(75),
            probes: 9,
        }),
        user_timeout: Ok(None),
        policy: Ok(Arc::new(Policy::default())),
        rto: Ok(ms(204)),
        rtt: Ok(Duration::from_micros(21)),
        last_ack: Ok(ms(1500)),
        last_received: Ok(ms(1500)),
        last_sent: Ok(ms(2000)),
        outstanding: Ok(Outstanding {
            send_window: 65_536,
            ..Outstanding::default()
        }),
        timer: Ok(Some(Timer {
            kind: TimerKind::Keepalive,
            left: s(7198),
        })),
        memory: Ok(2432),
        processes: Err(Unknown::NotAskedFor),
    }
}

/// Changes a healthy connection; the number tells it from the others.
fn with(number: u16, change: impl FnOnce(&mut Connection)) -> Connection {
    let mut connection = healthy();
    connection.sock = number.into();
    connection.remote.set_port(51000 + number);
    change(&mut connection);
    connection
}

fn silent(connection: &mut Connection, age: Duration) {
    connection.last_ack = Ok(age);
    connection.last_received = Ok(age);
    connection.last_sent = Ok(age);
}

/// As a listener, a request and a TIME_WAIT are.
fn never_heard(connection: &mut Connection) {
    let none = Unknown::NotOfThisKind;
    connection.rto = Err(none);
    connection.rtt = Err(none);
    connection.last_ack = Err(none);
    connection.last_received = Err(none);
    connection.last_sent = Err(none);
}

fn no_full_socket(connection: &mut Connection) {
    never_heard(connection);
    let none = Unknown::NotOfThisKind;
    connection.cgroup = Err(none);
    connection.uid = Err(none);
    connection.keepalive = Err(none);
    connection.user_timeout = Err(none);
}

fn keepalive(setting: Setting, idle: u64, interval: u64, probes: u32) -> Keepalive {
    Keepalive {
        setting,
        idle: s(idle),
        interval: s(interval),
        probes,
    }
}

/// The same, as they are where processes are asked for: held by one, by many of which one wants to
/// look like two, by nobody, and by nobody knows whom.
pub fn with_processes(mut connections: Vec<Connection>) -> Vec<Connection> {
    let workers = (1235..1240).map(|pid| holder(pid, 6, b"nginx"));
    let hostile = holder(1234, 17, b"a:1:2,\x1b[2J\n\xff");
    let told = [
        Ok(vec![holder(1234, 5, b"nginx")]),
        Ok(std::iter::once(hostile).chain(workers).collect()),
        Ok(Vec::new()),
        Err(Unknown::ClosedMeanwhile),
    ];
    for (it, processes) in connections.iter_mut().zip(told.into_iter().cycle()) {
        it.processes = processes;
    }
    connections
}

fn holder(pid: u32, fd: u32, name: &[u8]) -> Holder {
    Holder {
        pid,
        fd,
        name: name.to_vec(),
    }
}

/// Suspects, each with its evidence.
pub fn suspects() -> Vec<Connection> {
    vec![
        with(1, |it| {
            silent(it, ms(11_400));
            it.keepalive = Ok(keepalive(Setting::Custom, 5, 3, 3));
            it.outstanding = Ok(Outstanding {
                probes: 2,
                latest_probe: Some(ms(3_400)),
                send_window: 65_536,
                ..Outstanding::default()
            });
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Keepalive,
                left: ms(100),
            }));
        }),
        // A database client, with TCP_USER_TIMEOUT, retransmitting. Its owner wants to break out.
        with(2, |it| {
            it.local = "10.0.0.1:40122".parse().unwrap();
            it.remote = "10.255.255.254:5432".parse().unwrap();
            it.direction = Direction::Outbound;
            it.owner = Ok("evil\u{1b}[2J\nname\u{202e}".into());
            it.user_timeout = Ok(Some(s(30)));
            it.last_ack = Ok(s(25));
            it.last_received = Ok(s(40));
            it.last_sent = Ok(ms(6400));
            it.rto = Ok(ms(12_800));
            it.outstanding = Ok(Outstanding {
                packets_out: 3,
                retransmits: 5,
                unacknowledged: 4344,
                send_window: 65_536,
                ..Outstanding::default()
            });
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Retransmission,
                left: ms(6400),
            }));
            it.memory = Ok(24_832);
        }),
        // The peer's window is closed and so is the peer.
        with(3, |it| {
            it.local = "[2001:db8:85a3:1111:2222:8a2e:370:7334]:8443"
                .parse()
                .unwrap();
            it.remote = "[2001:db8:85a3:aaaa:bbbb:cccc:dddd:eeee]:65535"
                .parse()
                .unwrap();
            it.owner = Ok("kubepods-burstable-pod0a1b2c3d_0123456789abcdef.slice".into());
            silent(it, s(95));
            it.outstanding = Ok(Outstanding {
                probes: 6,
                latest_probe: Some(s(12)),
                unacknowledged: 131_072,
                unsent: 131_072,
                ..Outstanding::default()
            });
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Persist,
                left: s(13),
            }));
            it.memory = Ok(184_320);
        }),
    ]
}

/// Connections that are not suspects, each in another way.
pub fn others() -> Vec<Connection> {
    vec![
        // Idle and unguarded, an IPv4 peer of an IPv6 socket.
        with(4, |it| {
            it.local = "[::ffff:10.0.0.1]:8080".parse().unwrap();
            it.remote = "[::ffff:198.51.100.200]:51004".parse().unwrap();
            it.owner = Ok("café@1.service".into());
            silent(it, s(3 * 86_400 + 4 * 3600));
            it.keepalive = Ok(keepalive(Setting::Off, 7200, 75, 9));
            it.timer = Ok(None);
        }),
        with(5, |it| {
            silent(it, s(600));
            it.last_ack = Ok(s(20));
            it.keepalive = Ok(keepalive(Setting::Custom, 60, 60, 5));
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Keepalive,
                left: s(40),
            }));
        }),
        with(6, |it| {
            it.owner = Err(Unknown::CgroupGone);
            it.outstanding = Ok(Outstanding {
                probes: 0,
                unacknowledged: 65_536,
                unsent: 65_536,
                ..Outstanding::default()
            });
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Persist,
                left: ms(350),
            }));
            it.memory = Ok(3 << 20);
        }),
        with(7, |it| {
            it.state = State::CloseWait;
            silent(it, s(7190));
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Keepalive,
                left: s(10),
            }));
            it.outstanding = Ok(Outstanding {
                unread: 1,
                send_window: 65_536,
                ..Outstanding::default()
            });
        }),
        with(8, |it| {
            it.state = State::FinWait1;
            it.orphaned = true;
            silent(it, s(17));
            it.outstanding = Ok(Outstanding {
                packets_out: 1,
                retransmits: 4,
                unacknowledged: 100,
                send_window: 65_536,
                ..Outstanding::default()
            });
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Retransmission,
                left: ms(3100),
            }));
        }),
        healthy(),
        with(9, |it| it.state = State::CloseWait),
        with(10, |it| {
            it.netns = 4_026_532_200;
            it.state = State::SynRecv;
            no_full_socket(it);
            it.timer = Ok(Some(Timer {
                kind: TimerKind::Retransmission,
                left: ms(2600),
            }));
            it.outstanding = Ok(Outstanding {
                retransmits: 2,
                ..Outstanding::default()
            });
            it.memory = Ok(320);
        }),
        with(11, |it| {
            it.state = State::TimeWait;
            it.direction = Direction::None;
            it.owner = Err(Unknown::CgroupGone);
            it.cookie = None;
            no_full_socket(it);
            it.outstanding = Err(Unknown::NotOfThisKind);
            it.timer = Ok(Some(Timer {
                kind: TimerKind::TimeWait,
                left: ms(42_700),
            }));
            it.memory = Ok(256);
        }),
        with(12, |it| {
            it.state = State::Listen;
            it.local = "0.0.0.0:443".parse().unwrap();
            it.remote = "0.0.0.0:0".parse().unwrap();
            it.direction = Direction::None;
            never_heard(it);
            it.outstanding = Ok(Outstanding {
                unread: 128,
                ..Outstanding::default()
            });
            it.timer = Ok(None);
        }),
    ]
}

/// As sock_diag tells of connections.
pub fn by_sock_diag() -> Vec<Connection> {
    let mut connections = vec![
        suspects().remove(0),
        with(13, |it| silent(it, s(900))),
        healthy(),
    ];
    for it in &mut connections {
        let none = Unknown::NotInSockDiag;
        it.keepalive = Err(none);
        it.user_timeout = Err(none);
        it.owner = Err(Unknown::CgroupGone);
    }
    connections[2].policy = Err(Unknown::NamespaceUnread);
    connections
}
