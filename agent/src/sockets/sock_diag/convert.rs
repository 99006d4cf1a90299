//! What sock_diag tells of a socket becomes a connection in the units people use.
//!
//! # Invariants
//! No setting is guessed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::message::{Answer, Endpoints, Info, Memory};
use halfopen_core::model::{
    connection::{
        AcceptQueue, Acceptance, CarriedBytes, Connection, Direction, Known, Limits, Outstanding,
        Policy, State, Timer, TimerKind, Unknown,
    },
    detection::window_probe_pause,
};

/// AF_INET and AF_INET6.
const INET: u8 = 2;
const INET6: u8 = 10;
/// `idiag_timer` (inet_sk_diag_fill() in net/ipv4/inet_diag.c).
const NO_TIMER: u8 = 0;
const RETRANSMISSION: u8 = 1;
const KEEPALIVE: u8 = 2;
const TIME_WAIT: u8 = 3;
const PERSIST: u8 = 4;
/// The shortest silence before a keepalive probe that TCP_KEEPIDLE accepts.
const SHORTEST_IDLE: Duration = Duration::from_secs(1);

/// Network namespace whose sockets are told of.
#[derive(Debug)]
pub struct Namespace {
    /// Its inode number.
    pub inode: u32,
    /// Its settings.
    pub policy: Known<Arc<Policy>>,
}

impl Namespace {
    /// One socket, as outbound unless it is a listener or a request: see [`super::settle`]. `None`
    /// for a state or address family that this program does not know.
    pub fn connection(&self, answer: &Answer) -> Option<Connection> {
        let facts = &answer.facts;
        let state = State::of_kernel(facts.state)?;
        let ends = addresses(facts.family, &facts.ends)?;
        let [low, high] = facts.ends.cookie;
        let cookie = u64::from(high) << 32 | u64::from(low);
        let direction = match state {
            State::Listen => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let blank = Connection {
            // Unique in the host since Linux 5.3 (sock_gen_cookie() in net/core/sock_diag.c).
            sock: cookie,
            cookie: (cookie != 0).then_some(cookie),
            policy: self.policy.clone(),
            timer: timer(facts.timer, facts.expires_ms),
            memory: Err(Unknown::NotInSockDiag),
            ..Connection::bare(self.inode, ends, state, direction, Unknown::NotOfThisKind)
        };
        Some(match (facts.timer, state, answer.info) {
            // A struct inet_timewait_sock, in FIN_WAIT2 if the peer's FIN has not come: its
            // application is long gone (inet_twsk_diag_fill()).
            (TIME_WAIT, _, _) => Connection {
                orphaned: state == State::FinWait2,
                ..blank
            },
            // A struct request_sock (inet_req_diag_fill()): a full socket has the attribute.
            (_, State::SynRecv, None) => Connection {
                direction: Direction::Inbound,
                cgroup: Err(Unknown::NotInSockDiag),
                uid: Err(Unknown::NotInSockDiag),
                // inet_req_diag_fill() leaves out whether the last ACK came.
                acceptance: Err(Unknown::NotInSockDiag),
                outstanding: Ok(Outstanding {
                    retransmits: facts.retransmits.into(),
                    ..Outstanding::default()
                }),
                ..blank
            },
            (_, _, info) => full(answer, info, blank),
        })
    }
}

fn full(answer: &Answer, info: Option<Info>, blank: Connection) -> Connection {
    let facts = &answer.facts;
    let settled = Connection {
        cgroup: answer.cgroup.ok_or(Unknown::NotOnThisKernel),
        // Up to Linux 6.16 the uid goes with the inode (sock_i_uid() in net/core/sock.c).
        uid: match (facts.inode, facts.uid) {
            (0, 0) => Err(Unknown::NotInSockDiag),
            (_, uid) => Ok(uid),
        },
        orphaned: facts.inode == 0 && is_after_close(blank.state),
        acceptance: match blank.state {
            State::Listen | State::SynSent => Err(Unknown::NotOfThisKind),
            state if facts.inode == 0 && !is_after_close(state) => Ok(Acceptance::Queued),
            _ => Ok(Acceptance::Accepted),
        },
        mptcp: answer.mptcp,
        keepalive: Err(Unknown::NotInSockDiag),
        user_timeout: Err(Unknown::NotInSockDiag),
        last_out_of_window: Err(Unknown::NotInSockDiag),
        limits: Err(Unknown::NotInSockDiag),
        memory: answer
            .memory
            .as_ref()
            .map(buffers)
            .ok_or(Unknown::NotOnThisKernel),
        ..blank
    };
    if settled.state == State::Listen {
        // tcp_get_info() leaves out all but the queues.
        return Connection {
            outstanding: Ok(Outstanding {
                unread: facts.receive_queue.into(),
                ..Outstanding::default()
            }),
            // tcp_diag_get_info() (net/ipv4/tcp_diag.c).
            accept_queue: Ok(AcceptQueue::of_one(facts.receive_queue, facts.send_queue)),
            ..settled
        };
    }
    let Some(info) = info else {
        return Connection {
            rto: Err(Unknown::NotOnThisKernel),
            rtt: Err(Unknown::NotOnThisKernel),
            last_ack: Err(Unknown::NotOnThisKernel),
            last_received: Err(Unknown::NotOnThisKernel),
            last_sent: Err(Unknown::NotOnThisKernel),
            carried: Err(Unknown::NotOnThisKernel),
            outstanding: Err(Unknown::NotOnThisKernel),
            ..settled
        };
    };
    // Before the handshake's end there is nothing to count from.
    let heard = |milliseconds: u32| match settled.state {
        State::SynSent => Err(Unknown::NotOfThisKind),
        _ => Ok(Duration::from_millis(milliseconds.into())),
    };
    let known = Connection {
        rto: Ok(Duration::from_micros(info.rto_us.into())),
        rtt: match info.rtt_us {
            0 => Err(Unknown::NotOfThisKind),
            rtt => Ok(Duration::from_micros(rtt.into())),
        },
        last_ack: heard(info.last_ack_received_ms),
        last_received: heard(info.last_data_received_ms),
        last_sent: heard(info.last_data_sent_ms),
        carried: Ok(CarriedBytes {
            sent: info.bytes_sent,
            received: info.bytes_received,
        }),
        ..settled
    };
    Connection {
        outstanding: Ok(outstanding(answer, &info, &known)),
        ..known
    }
}

/// States that a full socket without an inode reaches by close() alone; in others it is a connection that
/// no application has accepted yet.
const fn is_after_close(state: State) -> bool {
    matches!(
        state,
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck
    )
}

/// What the socket's buffers and options take, without the kernel's object itself: how large that is
/// sock_diag does not tell.
fn buffers(memory: &Memory) -> u64 {
    [
        memory.received,
        memory.queued,
        memory.reserved,
        memory.options,
    ]
    .into_iter()
    .map(|bytes| u64::try_from(bytes).unwrap_or(0))
    .sum()
}

fn outstanding(answer: &Answer, info: &Info, known: &Connection) -> Outstanding {
    let (probes, latest_probe) = probes(info, known);
    Outstanding {
        packets_out: info.unacked,
        // idiag_retrans is the same while the retransmission timer runs, and probes while another does.
        retransmits: info.retransmits.into(),
        probes,
        latest_probe,
        unacknowledged: answer.facts.send_queue.into(),
        unsent: info.unsent.into(),
        unread: answer.facts.receive_queue.into(),
        send_window: info.send_window.into(),
        backoff: info.backoff.into(),
        // struct tcp_info (include/uapi/linux/tcp.h) holds neither.
        retransmitting_for: None,
        probing_for: None,
    }
}

/// Probes since the peer was last heard, and the age of the latest where it can be told. Data taken
/// by header prediction leaves `icsk_probes_out` as it was (tcp_rcv_established() in
/// net/ipv4/tcp_input.c).
fn probes(info: &Info, known: &Connection) -> (u32, Option<Duration>) {
    let probes = info.probes.into();
    let (Ok(Some(timer)), Ok(silence)) = (known.timer, known.silence()) else {
        return (probes, None);
    };
    match timer.kind {
        _ if probes == 0 => (0, None),
        TimerKind::Persist => {
            // TCP_USER_TIMEOUT and TCP_RTO_MAX_MS, which are not known, may cut the pause short: the
            // probe is then younger than it seems.
            let rto = Duration::from_micros(info.rto_us.into());
            let pause = window_probe_pause(rto, info.backoff.into(), Limits::RTO_MAX);
            match pause.checked_sub(timer.left) {
                Some(age) if silence <= age => (0, None),
                age => (probes, age),
            }
        }
        // When the latest was sent depends on TCP_KEEPINTVL. Whatever TCP_KEEPIDLE is, no probe is
        // unanswered if the peer was heard since the earliest moment for one.
        TimerKind::Keepalive if silence < SHORTEST_IDLE => (0, None),
        TimerKind::Keepalive | TimerKind::Retransmission | TimerKind::TimeWait => (probes, None),
    }
}

fn timer(kind: u8, expires_ms: u32) -> Known<Option<Timer>> {
    let kind = match kind {
        NO_TIMER => return Ok(None),
        RETRANSMISSION => TimerKind::Retransmission,
        KEEPALIVE => TimerKind::Keepalive,
        TIME_WAIT => TimerKind::TimeWait,
        PERSIST => TimerKind::Persist,
        // One that delays ACKs (5, Linux 7.2+) may hide another.
        _ => return Err(Unknown::NotInSockDiag),
    };
    Ok(Some(Timer {
        kind,
        left: Duration::from_millis(expires_ms.into()),
    }))
}

/// An address of AF_INET6 stays what it is, mapped or not.
fn addresses(family: u8, ends: &Endpoints) -> Option<[SocketAddr; 2]> {
    let address = |bytes: [u8; 16], port| {
        let ip = match family {
            INET => {
                let [a, b, c, d, ..] = bytes;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            INET6 => IpAddr::V6(Ipv6Addr::from(bytes)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
    };
    Some([
        address(ends.local, ends.local_port)?,
        address(ends.remote, ends.remote_port)?,
    ])
}

#[cfg(test)]
mod tests;
