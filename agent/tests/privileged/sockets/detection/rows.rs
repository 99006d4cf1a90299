//! The table: settings, and how the connection is left when its peer vanishes.

use std::time::Duration;

use halfopen_lab::net::family::Family;

/// A sysctl below /proc/sys/net, where the kernel has it.
#[derive(Debug)]
pub struct Sysctl(pub &'static str, pub &'static str);

/// Connections of one client, whose server vanishes.
#[derive(Debug)]
pub struct Host {
    pub family: Family,
    pub sysctls: &'static [Sysctl],
    /// Without tcp_rto_max_ms its rows take too long.
    pub needs_rto_max: bool,
    /// The client's own output is dropped, instead of what the server receives.
    pub is_cut_at_client: bool,
    pub rows: &'static [Row],
}

/// How a connection is left.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Idle, with keepalive: TCP_KEEPIDLE, TCP_KEEPINTVL (seconds), TCP_KEEPCNT.
    Idle(u64, u64, u32),
    /// A byte is sent.
    Data,
    /// A SYN is sent.
    Syn,
    /// The peer has closed its window on data that waits.
    ClosedWindow,
    /// The peer has closed its window on data in flight.
    ClosedInFlight,
    /// A FIN is sent.
    FinWait1,
    /// A byte is sent, then a FIN, and the application is gone.
    Orphan,
    /// The window is closed, a FIN waits with the data, and the application is gone.
    OrphanClosedWindow,
    /// The peer has sent its FIN; a byte is sent.
    CloseWait,
    /// The peer has sent its FIN; a FIN is sent, and the application is gone.
    LastAck,
}

impl Kind {
    pub const NAMES: [&str; 10] = [
        "idle",
        "data",
        "syn",
        "closed window",
        "closed in flight",
        "fin_wait1",
        "orphan",
        "orphan, closed window",
        "close_wait",
        "last_ack",
    ];

    pub const fn name(self) -> &'static str {
        Self::NAMES[match self {
            Self::Idle(..) => 0,
            Self::Data => 1,
            Self::Syn => 2,
            Self::ClosedWindow => 3,
            Self::ClosedInFlight => 4,
            Self::FinWait1 => 5,
            Self::Orphan => 6,
            Self::OrphanClosedWindow => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
        }]
    }

    pub const fn is_orphan(self) -> bool {
        matches!(
            self,
            Self::Orphan | Self::OrphanClosedWindow | Self::LastAck
        )
    }

    pub const fn has_closed_window(self) -> bool {
        matches!(self, Self::ClosedWindow | Self::OrphanClosedWindow)
    }
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub kind: Kind,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// TCP_RTO_MAX_MS.
    pub rto_max: Option<u32>,
    /// TCP_SYNCNT.
    pub syn_count: Option<u32>,
}

const fn row(kind: Kind) -> Row {
    Row {
        kind,
        user_timeout: None,
        rto_max: None,
        syn_count: None,
    }
}

impl Row {
    const fn user_timeout(mut self, milliseconds: u64) -> Self {
        self.user_timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    const fn rto_max(mut self, milliseconds: u32) -> Self {
        self.rto_max = Some(milliseconds);
        self
    }

    const fn syn_count(mut self, syns: u32) -> Self {
        self.syn_count = Some(syns);
        self
    }
}

use Kind::{
    CloseWait, ClosedInFlight, ClosedWindow, Data, FinWait1, Idle, LastAck, Orphan,
    OrphanClosedWindow, Syn,
};

pub const HOSTS: &[Host] = &[
    Host {
        family: Family::Ipv4,
        sysctls: &[
            Sysctl("ipv4/tcp_retries2", "3"),
            Sysctl("ipv4/tcp_orphan_retries", "3"),
            Sysctl("ipv4/tcp_syn_retries", "2"),
            Sysctl("ipv4/tcp_syn_linear_timeouts", "4"),
        ],
        needs_rto_max: false,
        is_cut_at_client: false,
        rows: &[
            row(ClosedWindow),
            row(ClosedWindow).user_timeout(3_000),
            row(ClosedWindow).rto_max(1_000),
            row(OrphanClosedWindow),
            row(ClosedInFlight).user_timeout(3_000),
            row(ClosedInFlight).rto_max(2_000),
            row(Data),
            row(Data).user_timeout(2_000),
            row(Data).user_timeout(5_000),
            row(Data).rto_max(1_000),
            row(Data).rto_max(1_000).user_timeout(4_000),
            row(FinWait1),
            row(FinWait1).user_timeout(1_500),
            row(Orphan),
            row(Orphan).user_timeout(2_500),
            row(Orphan).rto_max(1_000),
            row(CloseWait),
            row(LastAck),
            row(Syn),
            row(Syn).syn_count(1),
            row(Syn).syn_count(3),
            row(Syn).user_timeout(500),
            row(Syn).user_timeout(2_500),
            row(Syn).user_timeout(30_000),
            row(Syn).syn_count(4).rto_max(1_000),
            row(Idle(1, 1, 3)),
            row(Idle(2, 2, 2)),
            row(Idle(1, 2, 3)).user_timeout(4_000),
            row(Idle(1, 1, 9)).user_timeout(2_500),
        ],
    },
    Host {
        family: Family::Ipv4,
        sysctls: &[
            Sysctl("ipv4/tcp_retries2", "6"),
            Sysctl("ipv4/tcp_orphan_retries", "0"),
            Sysctl("ipv4/tcp_syn_retries", "2"),
            Sysctl("ipv4/tcp_syn_linear_timeouts", "0"),
            Sysctl("ipv4/tcp_rto_max_ms", "1000"),
        ],
        needs_rto_max: true,
        is_cut_at_client: false,
        rows: &[
            row(ClosedWindow),
            row(OrphanClosedWindow),
            row(ClosedInFlight),
            row(Data),
            row(Data).user_timeout(3_000),
            row(Data).rto_max(4_000),
            row(Orphan),
            row(LastAck),
            row(Syn),
            row(Syn).rto_max(120_000),
            row(Idle(1, 1, 2)),
        ],
    },
    Host {
        family: Family::Ipv6,
        sysctls: &[
            Sysctl("ipv4/tcp_retries2", "5"),
            Sysctl("ipv4/tcp_orphan_retries", "2"),
            Sysctl("ipv4/tcp_syn_retries", "1"),
            Sysctl("ipv4/tcp_syn_linear_timeouts", "2"),
        ],
        needs_rto_max: false,
        is_cut_at_client: false,
        rows: &[
            row(ClosedWindow),
            row(Data),
            row(Data).user_timeout(6_000),
            row(Orphan),
            row(Syn),
            row(Syn).syn_count(2),
            row(Idle(2, 1, 4)),
        ],
    },
    Host {
        family: Family::Ipv4,
        sysctls: &[
            Sysctl("ipv4/tcp_retries2", "4"),
            Sysctl("ipv4/tcp_orphan_retries", "3"),
            Sysctl("ipv4/tcp_syn_retries", "2"),
            Sysctl("ipv4/tcp_syn_linear_timeouts", "0"),
        ],
        needs_rto_max: false,
        is_cut_at_client: true,
        rows: &[
            row(Data),
            row(Data).user_timeout(3_000),
            row(Data).rto_max(1_000),
            row(Orphan),
            row(Syn),
            row(Idle(1, 1, 3)),
        ],
    },
];
