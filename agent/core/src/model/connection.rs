//! What is known of one TCP socket at one moment: facts, in the units people use.
//! What the facts mean is in [`super::liveness`] and [`super::detection`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

mod accept;
mod known;
mod settings;
mod state;

pub use accept::{AcceptQueue, Acceptance, Listeners};
pub use known::{Known, Unknown};
pub use settings::{Keepalive, Limits, Policy, Setting};
pub use state::{Direction, State};

/// Which timer of a connection is running, as `ss -o` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// Retransmission ("on"), tail-loss probe and reordering timer included.
    Retransmission,
    /// Keepalive; of an orphan in FIN_WAIT2, its end.
    Keepalive,
    /// TIME_WAIT.
    TimeWait,
    /// Zero-window probe ("persist").
    Persist,
}

/// A running timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Which.
    pub kind: TimerKind,
    /// Until it fires.
    pub left: Duration,
}

/// What one full socket has outstanding. `Default` is a socket with nothing in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// Segments sent and not acknowledged (`packets_out`).
    pub packets_out: u32,
    /// Consecutive retransmission timeouts (`icsk_retransmits`; for a request, `num_timeout`).
    pub retransmits: u32,
    /// Keepalive or window probes sent since the peer was last heard (`icsk_probes_out`), 0 when it
    /// was heard since the latest.
    pub probes: u32,
    /// Since the latest probe was sent; `None` when none is outstanding or it cannot be determined.
    pub latest_probe: Option<Duration>,
    /// Timeouts or window probes since the timer was last set to the round trip (`icsk_backoff`).
    pub backoff: u32,
    /// Since the first retransmission of what is in flight, in SYN_SENT since the first SYN (`retrans_stamp`); `None`
    /// if nothing was retransmitted, or unknown.
    pub retransmitting_for: Option<Duration>,
    /// Since the first window probe after the window closed (`icsk_probes_tstamp`); `None` if none was sent, or
    /// unknown.
    pub probing_for: Option<Duration>,
    /// Bytes written by the application and not acknowledged, sent or not.
    pub unacknowledged: u64,
    /// Bytes written and not yet sent once.
    pub unsent: u64,
    /// Bytes received and not read by the application; for a listener, connections not accepted.
    pub unread: u64,
    /// Bytes the peer is ready to receive (`snd_wnd`).
    pub send_window: u64,
}

impl Outstanding {
    /// Whether data waits although nothing is in flight and the window is open: tcp_write_wakeup()
    /// (net/ipv4/tcp_output.c) then sends data, no window probe, and `probes` counts its failures.
    #[must_use]
    pub const fn waits_to_be_sent(&self) -> bool {
        self.packets_out == 0 && self.unsent > 0 && self.send_window > 0
    }
}

/// What a connection carried, in bytes of payload, as `ss -i` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CarriedBytes {
    /// Sent, retransmissions included (`bytes_sent`).
    pub sent: u64,
    /// Received in order; a FIN counts as one (`bytes_received`).
    pub received: u64,
}

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// Its number, as the agent's PID namespace has it (`tgid`).
    pub pid: u32,
    /// Its lowest descriptor of the socket.
    pub fd: u32,
    /// What it calls itself (`comm`): at most 15 bytes of any kind.
    pub name: Vec<u8>,
    /// The owner of its cgroup. That of the socket may be another's, who made it or its listener.
    pub owner: Known<Arc<str>>,
}

/// One socket at one moment. Ages count back from that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Address of the kernel's object: tells sockets of one reading apart, never shown.
    pub sock: u64,
    /// `SO_COOKIE`; `None` if nobody has asked for it yet.
    pub cookie: Option<u64>,
    /// Inode number of its network namespace (/proc/PID/ns/net).
    pub netns: u32,
    /// Local address and port; IPv4-mapped addresses stay mapped.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Its state.
    pub state: State,
    /// Who opened it.
    pub direction: Direction,
    /// Whose it is: the name of its [`super::owner::Owner`].
    pub owner: Known<Arc<str>>,
    /// Id of its own cgroup (v2).
    pub cgroup: Known<u64>,
    /// Owner's uid.
    pub uid: Known<u32>,
    /// Closed by its application (SOCK_DEAD), which no longer holds it.
    pub orphaned: bool,
    /// How far it has come, of a connection that a peer opened.
    pub acceptance: Known<Acceptance>,
    /// Of a listener its accept queue; of what waits to be accepted, its listener's.
    pub accept_queue: Known<AcceptQueue>,
    /// An MPTCP subflow.
    pub mptcp: bool,
    /// Keepalive settings in force.
    pub keepalive: Known<Keepalive>,
    /// TCP_USER_TIMEOUT; `Ok(None)` if unset.
    pub user_timeout: Known<Option<Duration>>,
    /// Settings of its namespace.
    pub policy: Known<Arc<Policy>>,
    /// Retransmission timeout now, back-off included (`icsk_rto`).
    pub rto: Known<Duration>,
    /// Smoothed round-trip time.
    pub rtt: Known<Duration>,
    /// Since the last acceptable ACK (`rcv_tstamp`).
    pub last_ack: Known<Duration>,
    /// Since data was last received (`lrcvtime`), or the connection began.
    pub last_received: Known<Duration>,
    /// Since data was last sent (`lsndtime`), or the connection began: nothing is sent before an application
    /// has accepted it.
    pub last_sent: Known<Duration>,
    /// Since a segment of the peer's that was out of the window was answered, such as its own probes
    /// (`last_oow_ack_time`); `Ok(None)` if none was.
    pub last_out_of_window: Known<Option<Duration>>,
    /// Payload it has carried.
    pub carried: Known<CarriedBytes>,
    /// Limits of its own.
    pub limits: Known<Limits>,
    /// What is outstanding.
    pub outstanding: Known<Outstanding>,
    /// The timer that runs, if one does.
    pub timer: Known<Option<Timer>>,
    /// Kernel memory: the socket's own object and its buffers, in bytes.
    pub memory: Known<u64>,
    /// Who holds a descriptor of it, by number; empty where no process does: after its application
    /// closed it, before it is accepted, or where the kernel alone uses it.
    pub processes: Known<Vec<Holder>>,
}

impl Connection {
    /// One of which nothing is known but between whom it is and how it stands, and this is why.
    #[must_use]
    pub const fn bare(
        netns: u32,
        [local, remote]: [SocketAddr; 2],
        state: State,
        direction: Direction,
        why: Unknown,
    ) -> Self {
        Self {
            sock: 0,
            cookie: None,
            netns,
            local,
            remote,
            state,
            direction,
            owner: Err(why),
            cgroup: Err(why),
            uid: Err(why),
            orphaned: false,
            acceptance: Err(why),
            accept_queue: Err(why),
            mptcp: false,
            keepalive: Err(why),
            user_timeout: Err(why),
            policy: Err(why),
            rto: Err(why),
            rtt: Err(why),
            last_ack: Err(why),
            last_received: Err(why),
            last_sent: Err(why),
            last_out_of_window: Err(why),
            carried: Err(why),
            limits: Err(why),
            outstanding: Err(why),
            timer: Err(why),
            memory: Err(why),
            processes: Err(Unknown::NotAskedFor),
        }
    }

    /// Since any segment of the peer's came: an acceptable ACK, data, or one out of the window that was answered.
    pub fn silence(&self) -> Known<Duration> {
        let acceptable = self.acceptable_silence()?;
        Ok(match self.last_out_of_window {
            Ok(Some(answered)) => acceptable.min(answered),
            Ok(None) | Err(_) => acceptable,
        })
    }

    /// Since an acceptable ACK or data came: what keepalive goes by (keepalive_time_elapsed() in
    /// include/net/tcp.h).
    pub fn acceptable_silence(&self) -> Known<Duration> {
        match (self.last_ack, self.last_received) {
            (Ok(ack), Ok(data)) => Ok(ack.min(data)),
            (known @ Ok(_), _) | (_, known) => known,
        }
    }

    /// Since data last went either way.
    pub fn idle(&self) -> Known<Duration> {
        match (self.last_sent, self.last_received) {
            (Ok(sent), Ok(received)) => Ok(sent.min(received)),
            (Err(unknown), _) | (_, Err(unknown)) => Err(unknown),
        }
    }

    /// The service's port: local if inbound, else remote.
    #[must_use]
    pub const fn service_port(&self) -> u16 {
        match self.direction {
            Direction::Inbound => self.local.port(),
            Direction::Outbound | Direction::None => self.remote.port(),
        }
    }
}
