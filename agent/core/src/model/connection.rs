//! What is known of one TCP socket at one moment: facts, in the units people use.
//! It must never judge: what the facts mean is told by [`super::liveness`] and [`super::detection`].

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use super::snapshot::Direction;

/// A fact, or why it is not known.
pub type Known<T> = Result<T, Unknown>;

/// Why a fact is not known. Views show it as such, never as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// sock_diag, the fallback where sockets cannot be read by BPF, has no field for it.
    NotInSockDiag,
    /// This kernel keeps no such field.
    NotOnThisKernel,
    /// A socket of this kind (TIME_WAIT, request) has none.
    NotOfThisKind,
    /// The settings of its network namespace could not be read.
    NamespaceUnread,
    /// An event does not tell it.
    NotInEvents,
    /// It began before the hooks were attached, or when no more beginnings found room.
    BeginningUnseen,
    /// The kernel's table of records had no room for it.
    NoRecord,
    /// The peer has never been heard.
    NeverHeard,
    /// It takes a reading of its own, which nobody asked for.
    NotAskedFor,
    /// The kernel refused to tell.
    Refused,
    /// The socket was closed while it was read.
    ClosedMeanwhile,
    /// What is outside the agent's PID namespace cannot be seen.
    OutsidePidNamespace,
    /// No hierarchy of cgroups v2 is mounted here.
    NoCgroups,
    /// Its cgroup was gone before it was looked at.
    CgroupGone,
    /// Its cgroup is not below what is mounted here.
    CgroupOutside,
    /// Its cgroup was made just now, and has not been looked for yet.
    CgroupNotYet,
    /// The kernel refuses to tell of its cgroup.
    CgroupRefused,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInSockDiag => "sock_diag does not tell",
            Self::NotOnThisKernel => "this kernel does not tell",
            Self::NotOfThisKind => "a socket of this kind has none",
            Self::NamespaceUnread => "its network namespace could not be read",
            Self::NotInEvents => "an event does not tell",
            Self::BeginningUnseen => "its beginning was not seen",
            Self::NoRecord => "the kernel's table of records was full",
            Self::NeverHeard => "the peer was never heard",
            Self::NotAskedFor => "nobody asked for it",
            Self::Refused => "the kernel refused to tell",
            Self::ClosedMeanwhile => "it was closed meanwhile",
            Self::OutsidePidNamespace => "processes outside this PID namespace cannot be seen",
            Self::NoCgroups => "no cgroup v2 hierarchy is mounted here",
            Self::CgroupGone => "its cgroup was gone before it was looked at",
            Self::CgroupOutside => "its cgroup is outside what is shown here of cgroups",
            Self::CgroupNotYet => "its cgroup has not been looked for yet",
            Self::CgroupRefused => "its cgroup cannot be looked at",
        })
    }
}

/// State of a connection, by the names of RFC 9293 (include/net/tcp_states.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// ESTABLISHED.
    Established,
    /// SYN-SENT.
    SynSent,
    /// SYN-RECEIVED: a request socket, or a Fast Open child.
    SynRecv,
    /// FIN-WAIT-1.
    FinWait1,
    /// FIN-WAIT-2.
    FinWait2,
    /// TIME-WAIT.
    TimeWait,
    /// CLOSED.
    Close,
    /// CLOSE-WAIT.
    CloseWait,
    /// LAST-ACK.
    LastAck,
    /// LISTEN.
    Listen,
    /// CLOSING.
    Closing,
}

impl State {
    /// All of them, in the kernel's order.
    pub const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// The label value: node_exporter's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::Close => "close",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }

    /// The state the kernel means by this number; a request socket (TCP_NEW_SYN_RECV) is SYN-RECEIVED.
    #[must_use]
    pub const fn of_kernel(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }
}

/// Where the keepalive settings of a connection come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// SO_KEEPALIVE is off.
    Off,
    /// SO_KEEPALIVE is on, with the network namespace's sysctls.
    Default,
    /// SO_KEEPALIVE is on, with at least one setting of its own.
    Custom,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Default, Self::Custom];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Default => "default",
            Self::Custom => "custom",
        }
    }
}

/// Keepalive settings in force; those of the namespace stand in for what the socket does not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keepalive {
    /// Where they come from, and whether keepalive is on at all.
    pub setting: Setting,
    /// TCP_KEEPIDLE: silence before the first probe. Would-be settings when keepalive is off.
    pub idle: Duration,
    /// TCP_KEEPINTVL: between probes.
    pub interval: Duration,
    /// TCP_KEEPCNT: unanswered probes before the peer is declared dead.
    pub probes: u32,
}

impl Keepalive {
    /// Whether SO_KEEPALIVE is on.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !matches!(self.setting, Setting::Off)
    }
}

/// Settings of a network namespace that decide how long a connection waits (sysctl net.ipv4.*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// tcp_keepalive_time.
    pub keepalive_idle: Duration,
    /// tcp_keepalive_intvl.
    pub keepalive_interval: Duration,
    /// tcp_keepalive_probes.
    pub keepalive_probes: u32,
    /// tcp_retries2: retransmissions of an established connection, in the kernel's counting.
    pub retries2: u32,
    /// tcp_orphan_retries; 0 means 8 (tcp_orphan_retries() in net/ipv4/tcp_timer.c).
    pub orphan_retries: u32,
    /// tcp_syn_retries.
    pub syn_retries: u32,
    /// tcp_synack_retries.
    pub synack_retries: u32,
    /// tcp_fin_timeout.
    pub fin_timeout: Duration,
}

/// The kernel's defaults.
impl Default for Policy {
    fn default() -> Self {
        Self {
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_probes: 9,
            retries2: 15,
            orphan_retries: 0,
            syn_retries: 6,
            synack_retries: 5,
            fin_timeout: Duration::from_secs(60),
        }
    }
}

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
    /// Since the latest probe was sent; `None` when none is outstanding or it cannot be told.
    pub latest_probe: Option<Duration>,
    /// Bytes written by the application and not acknowledged, sent or not.
    pub unacknowledged: u64,
    /// Bytes written and not yet sent once.
    pub unsent: u64,
    /// Bytes received and not read by the application; for a listener, connections not accepted.
    pub unread: u64,
    /// Bytes the peer is ready to receive (`snd_wnd`).
    pub send_window: u64,
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
    /// Since data was last sent (`lsndtime`), or the connection began.
    pub last_sent: Known<Duration>,
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
            mptcp: false,
            keepalive: Err(why),
            user_timeout: Err(why),
            policy: Err(why),
            rto: Err(why),
            rtt: Err(why),
            last_ack: Err(why),
            last_received: Err(why),
            last_sent: Err(why),
            outstanding: Err(why),
            timer: Err(why),
            memory: Err(why),
            processes: Err(Unknown::NotAskedFor),
        }
    }

    /// Since the peer was last heard: an acceptable ACK or data.
    pub fn silence(&self) -> Known<Duration> {
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
