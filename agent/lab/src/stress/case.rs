//! What a case of the stress test is: what is done to its connections, and what each of their ends must then
//! show.

use crate::{
    classify::expectations::KernelFigure,
    net::{family::Family, open::Timeouts},
};

/// How an end dies: the names are the agent's, the expectation is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExpectedDeath {
    /// `cause` of a death record.
    pub(super) cause: &'static str,
    /// `path` of a death record.
    pub(super) path: &'static str,
}

impl ExpectedDeath {
    pub(super) const fn new(cause: &'static str, path: &'static str) -> Self {
        Self { cause, path }
    }
}

/// What is done to a connection. The end that it is done by, or to, is the one that dies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// Idle into silence, with keepalive.
    Keepalive(Timeouts),
    /// A byte written into silence.
    SendUnacked(Timeouts),
    /// A byte that its own host's firewall keeps back.
    SendKeptBack,
    /// Written to until the window is closed, then silence.
    ZeroWindow,
    /// A byte written into silence, and closed.
    Orphan,
    /// Closed with SO_LINGER 0.
    Linger,
    /// Closed while data is unread.
    CloseUnread,
    /// Closed; the other end, which knows, sends all the same.
    SendAfterClose,
    /// Shut down in both directions, and held; the other end sends all the same.
    SendAfterShutdown,
    /// Destroyed by an administrator.
    Destroy,
    /// Closed in good order, this end first.
    OrderlyClose,
    /// A SYN that nobody answers.
    SynTimeout,
    /// A SYN that nobody answers; closed once it was sent again.
    AbandonConnect,
    /// A SYN that ICMP answers: host unreachable.
    Unreachable,
    /// A SYN from a socket that is closed at once, and whose SYN-ACK is dropped.
    SynAckTimeout,
    /// A SYN to a port where nobody listens.
    Refused,
}

/// Which ends die in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DyingEnd {
    Connecting,
    Accepting,
    /// By turns.
    Either,
}

/// What one end must show for each of its connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndExpectation {
    /// How it dies, if it does.
    pub(super) death: Option<ExpectedDeath>,
    /// Of the namespace's counters; of the [`KERNEL`] ones those not named are 0.
    pub(super) kernel: &'static [(&'static str, KernelFigure)],
    /// Of the agent's counts, deaths apart and those apart that equal a counter of the kernel.
    pub(super) agent: &'static [(&'static str, u64)],
}

/// Connections of one kind, in a pair of namespaces of their own.
#[derive(Debug)]
pub(super) struct StressCase {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Its share of the stress test's connections, in thousandths.
    pub(super) share: u32,
    pub(super) family: Family,
    pub(super) sysctls: &'static [(&'static str, &'static str)],
    pub(super) ends: DyingEnd,
    pub(super) act: Action,
    pub(super) dying: EndExpectation,
    pub(super) other: EndExpectation,
}

impl StressCase {
    /// The counters that it fixes.
    pub(super) fn fixed(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = [self.dying, self.other].into_iter();
        let named = named.flat_map(|part| part.kernel).map(|(name, _)| *name);
        KERNEL
            .into_iter()
            .chain(named.filter(|name| !KERNEL.contains(name)))
    }

    /// How many of so many connections are its own.
    pub(super) fn of(&self, connections: u32) -> u32 {
        let share = u64::from(connections) * u64::from(self.share) / 1000;
        u32::try_from(share).unwrap_or(connections).max(1)
    }
}

/// The counters that every case fixes.
pub(super) const KERNEL: [&str; 11] = [
    "TCPKeepAlive",
    "TCPWinProbe",
    "TCPAbortOnTimeout",
    "OutRsts",
    "EstabResets",
    "AttemptFails",
    "TCPAbortOnClose",
    "TCPAbortOnData",
    "TCPAbortOnLinger",
    "TCPAbortOnMemory",
    "TCPAbortFailed",
];
