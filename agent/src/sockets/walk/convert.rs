//! A socket as the kernel has it becomes a connection in the units people use.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc, time::Duration};

use halfopen_common::{AHEAD, EPHEMERAL, Net, Socket, direction, flag};

use super::accept;
use crate::{
    bpf::{Error, address::address},
    host::owners::Owners,
};
use halfopen_core::model::connection::{
    Acceptance, CarriedBytes, Connection, Direction, Keepalive, Known, Limits, Listeners,
    Outstanding, Policy, Setting, State, Timer, TimerKind, Unknown,
};

mod class;

/// What is needed to understand the sockets of one walk.
#[derive(Debug, Clone)]
pub struct Converter {
    hz: u64,
    owners: Owners,
    policies: BTreeMap<u32, Arc<Policy>>,
    /// Every listener met so far.
    listeners: Listeners,
}

impl Converter {
    /// For these namespaces.
    #[must_use]
    pub fn new(nets: &[Net], hz: u64, owners: Owners) -> Self {
        let mut converter = Self {
            hz,
            owners,
            policies: BTreeMap::new(),
            listeners: Listeners::default(),
        };
        converter.learn(nets);
        converter
    }

    /// Whether a namespace's settings are known.
    #[must_use]
    pub fn knows(&self, netns: u32) -> bool {
        self.policies.contains_key(&netns)
    }

    /// Takes note of the settings of these namespaces.
    pub fn learn(&mut self, nets: &[Net]) {
        for net in nets {
            let policy = Policy {
                keepalive_idle: self.span(net.keepalive_time.into()),
                keepalive_interval: self.span(net.keepalive_interval.into()),
                keepalive_probes: net.keepalive_probes.into(),
                retries2: net.retries2.into(),
                orphan_retries: net.orphan_retries.into(),
                syn_retries: net.syn_retries.into(),
                syn_linear_timeouts: net.syn_linear_timeouts.into(),
                synack_retries: net.synack_retries.into(),
                fin_timeout: self.span(net.fin_timeout.into()),
            };
            self.policies.insert(net.key.inum, Arc::new(policy));
        }
    }

    /// Jiffies of this long.
    #[must_use]
    pub fn jiffies(&self, span: Duration) -> u32 {
        let jiffies = span.as_millis().saturating_mul(self.hz.into()) / 1000;
        u32::try_from(jiffies).unwrap_or(u32::MAX)
    }

    pub(super) fn span(&self, jiffies: u64) -> Duration {
        Duration::from_millis(jiffies.saturating_mul(1000) / self.hz)
    }

    fn policy(&self, netns: u32) -> Known<Arc<Policy>> {
        let policy = self.policies.get(&netns).cloned();
        policy.ok_or(Unknown::NamespaceUnread)
    }

    /// Since a moment of the kernel's 32-bit clock, which wraps.
    pub(super) fn age(&self, socket: &Socket, then: u32) -> Duration {
        // The low half is what the time stamps are taken from.
        #[expect(clippy::cast_possible_truncation, reason = "tcp_jiffies32")]
        let age = (socket.jiffies as u32).wrapping_sub(then);
        self.span(if age > u32::MAX - AHEAD {
            0
        } else {
            age.into()
        })
    }

    /// The same, where 0 is no moment.
    pub(super) fn age_if_set(&self, socket: &Socket, then: u32) -> Option<Duration> {
        (then != 0).then(|| self.age(socket, then))
    }

    /// `icsk_rto_max`, jiffies, 0 where the kernel has none.
    fn rto_max(&self, jiffies: u32) -> Duration {
        match jiffies {
            0 => Limits::RTO_MAX,
            jiffies => self.span(jiffies.into()),
        }
    }

    pub(super) fn limits(&self, socket: &Socket) -> Limits {
        Limits {
            rto_max: self.rto_max(socket.rto_max),
            syn_retries: (socket.syn_retries != 0).then(|| socket.syn_retries.into()),
        }
    }

    pub(super) fn left(&self, socket: &Socket, expires: u64) -> Duration {
        self.span(expires.saturating_sub(socket.jiffies))
    }

    /// The keepalive settings in force, of jiffies and probes where 0 is the namespace's.
    fn keepalive(
        &self,
        netns: u32,
        on: bool,
        time: u32,
        interval: u32,
        probes: u8,
    ) -> Known<Keepalive> {
        let policy = self.policy(netns)?;
        let own = |jiffies: u32, else_: Duration| match jiffies {
            0 => else_,
            jiffies => self.span(jiffies.into()),
        };
        Ok(Keepalive {
            setting: match (on, time | interval | u32::from(probes)) {
                (false, _) => Setting::Off,
                (true, 0) => Setting::Default,
                (true, _) => Setting::Custom,
            },
            idle: own(time, policy.keepalive_idle),
            interval: own(interval, policy.keepalive_interval),
            probes: match probes {
                0 => policy.keepalive_probes,
                probes => probes.into(),
            },
        })
    }

    /// One socket; `None` for a state this program does not know.
    pub fn connection(&mut self, socket: &Socket) -> Option<Connection> {
        let state = State::of_kernel(socket.state)?;
        let netns = socket.net.inum;
        let ends = [
            address(socket.family, socket.local, socket.local_port),
            address(socket.family, socket.remote, socket.remote_port),
        ];
        if state == State::Listen {
            self.listeners.add(netns, ends[0], accept::queue(socket));
        }
        let direction = self.direction(socket, state, ends[0]);
        let cgroup = if state == State::TimeWait || socket.flags & flag::TIME_WAIT != 0 {
            Err(Unknown::NotOfThisKind)
        } else {
            known_cgroup(socket.cgroup)
        };
        let owner = self.owners.of(cgroup);
        let blank = Connection {
            sock: socket.sock,
            cookie: (socket.cookie != 0).then_some(socket.cookie),
            owner,
            cgroup,
            mptcp: socket.flags & flag::MPTCP != 0,
            policy: self.policy(netns),
            memory: Ok(socket.memory.into()),
            ..Connection::bare(netns, ends, state, direction, Unknown::NotOfThisKind)
        };
        Some(if socket.flags & flag::TIME_WAIT != 0 {
            Connection {
                // Its application is long gone; FIN_WAIT2 here is an orphan that waits for its end.
                orphaned: state == State::FinWait2,
                timer: Ok(Some(Timer {
                    kind: TimerKind::TimeWait,
                    left: self.left(socket, socket.timer_expires),
                })),
                ..blank
            }
        } else if socket.flags & flag::REQUEST != 0 {
            accept::request(
                socket,
                Connection {
                    uid: Ok(socket.uid),
                    outstanding: Ok(Outstanding {
                        retransmits: socket.retransmits.into(),
                        ..Outstanding::default()
                    }),
                    timer: Ok(Some(Timer {
                        kind: TimerKind::Retransmission,
                        left: self.left(socket, socket.timer_expires),
                    })),
                    ..blank
                },
            )
        } else {
            self.full(socket, blank)
        })
    }

    fn full(&self, socket: &Socket, blank: Connection) -> Connection {
        let is_on = socket.flags & flag::KEEPALIVE != 0;
        let keepalive = self.keepalive(
            blank.netns,
            is_on,
            socket.keepalive_time,
            socket.keepalive_interval,
            socket.keepalive_probes,
        );
        let user_timeout = u64::from(socket.user_timeout_ms);
        let settled = Connection {
            orphaned: socket.flags & flag::DEAD != 0 && blank.state != State::Listen,
            uid: Ok(socket.uid),
            keepalive,
            user_timeout: Ok((user_timeout != 0).then(|| Duration::from_millis(user_timeout))),
            ..blank
        };
        if settled.state == State::Listen {
            return Connection {
                outstanding: Ok(Outstanding {
                    unread: socket.rcv_nxt.into(),
                    ..Outstanding::default()
                }),
                timer: Ok(None),
                accept_queue: Ok(accept::queue(socket)),
                ..settled
            };
        }
        let mut settled = accept::full(socket, settled);
        if settled.acceptance == Ok(Acceptance::Queued) {
            settled.accept_queue = self.listeners.queue(settled.netns, settled.local);
        }
        // Before the handshake's end there is nothing to count from.
        let heard = |age| match settled.state {
            State::SynSent => Err(Unknown::NotOfThisKind),
            _ => Ok(age),
        };
        Connection {
            rto: Ok(self.span(socket.rto.into())),
            rtt: if socket.srtt_us == 0 {
                Err(Unknown::NotOfThisKind)
            } else {
                Ok(Duration::from_micros((socket.srtt_us >> 3).into()))
            },
            last_ack: heard(self.age(socket, socket.rcv_tstamp)),
            last_received: heard(self.age(socket, socket.lrcvtime)),
            last_sent: heard(self.age(socket, socket.lsndtime)),
            last_out_of_window: Ok(self.age_if_set(socket, socket.last_oow_ack_time)),
            carried: Ok(CarriedBytes {
                sent: socket.bytes_sent,
                received: socket.bytes_received,
            }),
            limits: Ok(self.limits(socket)),
            outstanding: Ok(self.outstanding(socket, keepalive)),
            timer: Ok(self.timer(socket)),
            ..settled
        }
    }

    fn direction(&self, socket: &Socket, state: State, local: SocketAddr) -> Direction {
        match socket.direction {
            direction::INBOUND => Direction::Inbound,
            direction::OUTBOUND => Direction::Outbound,
            _ if state == State::Listen => Direction::Inbound,
            // A TIME_WAIT has forgotten who opened it: who listens, or which port is a client's, tells.
            _ if self.listeners.queue(socket.net.inum, local).is_ok() => Direction::Inbound,
            _ => match (
                socket.local_port < EPHEMERAL,
                socket.remote_port < EPHEMERAL,
            ) {
                (true, false) => Direction::Inbound,
                (false, true) => Direction::Outbound,
                _ => Direction::None,
            },
        }
    }
}

pub(super) const fn known_cgroup(cgroup: u64) -> Known<u64> {
    match cgroup {
        0 => Err(Unknown::NotOnThisKernel),
        cgroup => Ok(cgroup),
    }
}

/// The kernel's HZ: one setting of the calling thread's own namespace in jiffies, as the program read
/// it, and in seconds, as /proc shows it.
///
/// # Errors
/// When the two do not make sense together.
pub fn hz(own: &Net) -> Result<u64, Error> {
    const SETTING: &str = "/proc/sys/net/ipv4/tcp_keepalive_time";
    let text = fs::read_to_string(SETTING).unwrap_or_default();
    let seconds: u64 = text.trim().parse().unwrap_or(0);
    let jiffies = u64::from(own.keepalive_time);
    match jiffies.checked_div(seconds) {
        Some(hz @ 24..=10_000) if hz * seconds == jiffies => Ok(hz),
        _ => Err(Error::Walk {
            reason: format!(
                "the kernel's clock cannot be understood: {SETTING} shows {seconds} s where the kernel has {jiffies} jiffies"
            ),
        }),
    }
}

#[cfg(test)]
mod tests;
