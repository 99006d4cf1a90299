//! The fronts of the storm: for each, what is done to its connections, and what each of their ends
//! must then show.
//! It must never hold a figure that was read off the agent: they come from the scenario table of the
//! design, and from the kernel's own counters.

use super::ledger::Fate;
use crate::{
    Family,
    scenarios::Figure,
    stage::{Watch, keepalive},
};

/// What is done to a connection. The end that it is done by, or to, is the one that dies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Idle into silence, with keepalive.
    Guard(Watch),
    /// A byte written into silence.
    Speak(Watch),
    /// Written to until the window is closed, then silence.
    Fill,
    /// A byte written into silence, and closed.
    Abandon,
    /// Closed with SO_LINGER 0.
    Linger,
    /// Closed while data is unread.
    Unread,
    /// Destroyed by an administrator.
    Kill,
    /// Closed in good order, this end first.
    Close,
    /// A SYN that nobody answers.
    Knock,
    /// A SYN whose answer is not heard, and that nobody stands by any more.
    HalfHeard,
    /// A SYN to a port where nobody listens.
    Refused,
}

/// Which ends die in a front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dying {
    Connecting,
    Accepting,
    /// By turns.
    Either,
}

/// What one end must show for each of its connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// How it dies, if it does.
    pub(super) fate: Option<Fate>,
    /// Of the namespace's counters; of the [`KERNEL`] ones those not named are 0.
    pub(super) kernel: &'static [(&'static str, Figure)],
    /// Of the agent's counts, deaths apart and those apart that equal a counter of the kernel.
    pub(super) agent: &'static [(&'static str, u64)],
}

/// Connections of one kind, in a pair of namespaces of their own.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Its share of the storm's connections, in thousandths.
    pub(super) share: u32,
    pub(super) family: Family,
    pub(super) sysctls: &'static [(&'static str, &'static str)],
    pub(super) ends: Dying,
    pub(super) act: Act,
    pub(super) dying: Part,
    pub(super) other: Part,
}

impl Front {
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

/// The counters that every front fixes.
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

const UNGUARDED: Watch = Watch {
    keepalive: None,
    user_timeout: None,
};

const ONE: Figure = Figure::Exactly(1);

const QUIET: Part = Part {
    fate: None,
    kernel: &[],
    agent: &[],
};

/// An end that accepts a reset.
const RESET: Part = Part {
    fate: Some(Fate::new("reset_received", "reset_received")),
    kernel: &[("EstabResets", ONE)],
    agent: &[("resets_received", 1)],
};

/// An end whose data nobody acknowledges: no reset is sent.
const fn unacknowledged(fate: Fate) -> Part {
    Part {
        fate: Some(fate),
        kernel: &[
            ("TCPTimeouts", Figure::AtLeast(2)),
            ("TCPAbortOnTimeout", ONE),
            ("EstabResets", ONE),
        ],
        agent: &[],
    }
}

/// Few enough probes to be quick, and an idle time that is the shortest there is.
const PROBES: u64 = 2;

pub(super) const FRONTS: [Front; 13] = [
    Front {
        name: "keepalive",
        title: "idle, keepalive 1/1/2, peer silent",
        share: 130,
        family: Family::Ipv4,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Guard(keepalive(1, 1, 2)),
        dying: Part {
            fate: Some(Fate::new("keepalive", "idle")),
            kernel: &[
                ("TCPKeepAlive", Figure::Exactly(PROBES)),
                ("TCPAbortOnTimeout", ONE),
                ("OutRsts", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[("resets_sent{tcp_keepalive_timeout}", 1)],
        },
        other: QUIET,
    },
    Front {
        name: "user-timeout-idle",
        title: "idle, keepalive 1/1/9 and user timeout 2 s, peer silent",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Guard(keepalive(1, 1, 9).user_timeout(2)),
        dying: Part {
            fate: Some(Fate::new("user_timeout", "idle")),
            kernel: &[
                ("TCPKeepAlive", Figure::AtLeast(1)),
                ("TCPAbortOnTimeout", ONE),
                ("OutRsts", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[("resets_sent{tcp_keepalive_timeout}", 1)],
        },
        other: QUIET,
    },
    Front {
        name: "user-timeout-data",
        title: "data into silence, user timeout 2 s",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Speak(UNGUARDED.user_timeout(2)),
        dying: unacknowledged(Fate::new("user_timeout", "data")),
        other: QUIET,
    },
    Front {
        name: "retransmission",
        title: "data into silence, tcp_retries2 = 3",
        share: 80,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_retries2", "3")],
        ends: Dying::Either,
        act: Act::Speak(UNGUARDED),
        dying: unacknowledged(Fate::new("retransmission", "data")),
        other: QUIET,
    },
    Front {
        name: "window-probe",
        title: "zero window, tcp_retries2 = 4, then silence",
        share: 20,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_retries2", "4")],
        ends: Dying::Either,
        act: Act::Fill,
        dying: Part {
            fate: Some(Fate::new("window_probe", "zero_window")),
            kernel: &[
                ("TCPWinProbe", Figure::AtLeast(2)),
                ("TCPAbortOnTimeout", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    Front {
        name: "connect-timeout",
        title: "SYN into silence, tcp_syn_retries = 1",
        share: 70,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_syn_retries", "1")],
        ends: Dying::Connecting,
        act: Act::Knock,
        dying: Part {
            fate: Some(Fate::new("connect_timeout", "handshake")),
            kernel: &[
                ("TCPTimeouts", Figure::AtLeast(2)),
                ("TCPAbortOnTimeout", ONE),
                ("AttemptFails", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    Front {
        name: "accept-timeout",
        title: "the final ACK never comes, tcp_synack_retries = 1",
        share: 70,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_synack_retries", "1")],
        ends: Dying::Accepting,
        act: Act::HalfHeard,
        dying: Part {
            fate: Some(Fate::new("connect_timeout", "handshake")),
            kernel: &[("TCPTimeouts", Figure::Exactly(2))],
            agent: &[],
        },
        other: QUIET,
    },
    Front {
        name: "linger",
        title: "closed with SO_LINGER 0",
        share: 90,
        family: Family::Ipv6,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Linger,
        dying: Part {
            fate: Some(Fate::new("reset_sent", "reset_sent")),
            kernel: &[
                ("OutRsts", ONE),
                ("EstabResets", ONE),
                ("TCPAbortOnData", ONE),
            ],
            agent: &[("resets_sent{tcp_state}", 1)],
        },
        other: RESET,
    },
    Front {
        name: "unread",
        title: "closed with unread data",
        share: 90,
        family: Family::Ipv4,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Unread,
        dying: Part {
            fate: Some(Fate::new("reset_sent", "reset_sent")),
            kernel: &[
                ("OutRsts", ONE),
                ("EstabResets", ONE),
                ("TCPAbortOnClose", ONE),
            ],
            agent: &[("resets_sent{tcp_abort_on_close}", 1)],
        },
        other: RESET,
    },
    Front {
        name: "orphan",
        title: "data into silence, then closed, tcp_orphan_retries = 1",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_orphan_retries", "1")],
        ends: Dying::Either,
        act: Act::Abandon,
        dying: Part {
            fate: Some(Fate::new("orphan", "orphan")),
            kernel: &[
                ("TCPTimeouts", Figure::AtLeast(1)),
                ("TCPAbortOnTimeout", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    Front {
        name: "refused",
        title: "nobody listens",
        share: 70,
        family: Family::Ipv6,
        sysctls: &[],
        ends: Dying::Connecting,
        act: Act::Refused,
        dying: Part {
            fate: Some(Fate::new("refused", "handshake")),
            kernel: &[("AttemptFails", ONE)],
            agent: &[("resets_received", 1)],
        },
        // The reset answers for no connection: the agent counts it under no port.
        other: Part {
            fate: None,
            kernel: &[("OutRsts", ONE)],
            agent: &[],
        },
    },
    Front {
        name: "administrative",
        title: "killed by an administrator (SOCK_DESTROY)",
        share: 50,
        family: Family::Ipv4,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Kill,
        dying: Part {
            fate: Some(Fate::new("administrative", "abort")),
            kernel: &[("OutRsts", ONE), ("EstabResets", ONE)],
            agent: &[("resets_sent{tcp_state}", 1)],
        },
        other: RESET,
    },
    Front {
        name: "orderly",
        title: "closed in good order: no death at all",
        share: 150,
        family: Family::Ipv6,
        sysctls: &[],
        ends: Dying::Either,
        act: Act::Close,
        dying: QUIET,
        other: QUIET,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shares_make_a_whole_and_names_are_unique() {
        assert_eq!(FRONTS.iter().map(|front| front.share).sum::<u32>(), 1000);
        let names: BTreeSet<_> = FRONTS.iter().map(|front| front.name).collect();
        assert_eq!(names.len(), FRONTS.len());
    }

    #[test]
    fn every_cause_is_there() {
        let parts = FRONTS.iter().flat_map(|front| [front.dying, front.other]);
        let causes: BTreeSet<_> = parts
            .filter_map(|part| part.fate)
            .map(|fate| fate.cause)
            .collect();
        assert_eq!(
            Vec::from_iter(causes),
            [
                "administrative",
                "connect_timeout",
                "keepalive",
                "orphan",
                "refused",
                "reset_received",
                "reset_sent",
                "retransmission",
                "user_timeout",
                "window_probe",
            ]
        );
    }
}
