//! The cases of the stress test.
//!
//! # Invariants
//!
//! No figure was read off the agent: they come from the scenario table of the design, and from the kernel's
//! own counters.

use crate::{
    classify::expectations::KernelFigure,
    net::{
        family::Family,
        open::{Timeouts, keepalive},
    },
    stress::case::{Action, DyingEnd, EndExpectation, ExpectedDeath, StressCase},
};

const UNGUARDED: Timeouts = Timeouts {
    keepalive: None,
    user_timeout: None,
    syn_count: None,
};

const ONE: KernelFigure = KernelFigure::Exactly(1);

const QUIET: EndExpectation = EndExpectation {
    death: None,
    kernel: &[],
    agent: &[],
};

/// An end that accepts a reset.
const RESET: EndExpectation = EndExpectation {
    death: Some(ExpectedDeath::new("reset_received", "reset_received")),
    kernel: &[("EstabResets", ONE)],
    agent: &[("resets_received", 1)],
};

/// An end that gets data after its close: it got no reset, and sends one.
const CLOSED_WHILE_SENT: EndExpectation = EndExpectation {
    death: Some(ExpectedDeath::new("reset_sent", "closed_while_peer_sent")),
    kernel: &[("OutRsts", ONE), ("TCPAbortOnData", ONE)],
    agent: &[("resets_sent{tcp_abort_on_data}", 1)],
};

/// An end whose data nobody acknowledges: no reset is sent.
const fn unacknowledged(death: ExpectedDeath) -> EndExpectation {
    EndExpectation {
        death: Some(death),
        kernel: &[
            ("TCPTimeouts", KernelFigure::AtLeast(2)),
            ("TCPAbortOnTimeout", ONE),
            ("EstabResets", ONE),
        ],
        agent: &[],
    }
}

/// Few enough probes to be quick, and an idle time that is the shortest there is.
const PROBES: u64 = 2;

pub(super) const CASES: [StressCase; 18] = [
    StressCase {
        name: "keepalive",
        title: "idle, keepalive 1/1/2, peer silent",
        share: 80,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::Keepalive(keepalive(1, 1, 2)),
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("keepalive", "idle")),
            kernel: &[
                ("TCPKeepAlive", KernelFigure::Exactly(PROBES)),
                ("TCPAbortOnTimeout", ONE),
                ("OutRsts", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[("resets_sent{tcp_keepalive_timeout}", 1)],
        },
        other: QUIET,
    },
    StressCase {
        name: "user-timeout-idle",
        title: "idle, keepalive 1/1/9 and user timeout 2 s, peer silent",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::Keepalive(keepalive(1, 1, 9).user_timeout(2)),
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("user_timeout", "idle")),
            kernel: &[
                ("TCPKeepAlive", KernelFigure::AtLeast(1)),
                ("TCPAbortOnTimeout", ONE),
                ("OutRsts", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[("resets_sent{tcp_keepalive_timeout}", 1)],
        },
        other: QUIET,
    },
    StressCase {
        name: "user-timeout-data",
        title: "data into silence, user timeout 2 s",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::SendUnacked(UNGUARDED.user_timeout(2)),
        dying: unacknowledged(ExpectedDeath::new("user_timeout", "data")),
        other: QUIET,
    },
    StressCase {
        name: "retransmission",
        title: "data into silence, tcp_retries2 = 3",
        share: 80,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_retries2", "3")],
        ends: DyingEnd::Either,
        act: Action::SendUnacked(UNGUARDED),
        dying: unacknowledged(ExpectedDeath::new("retransmission", "data")),
        other: QUIET,
    },
    StressCase {
        name: "window-probe",
        title: "zero window, tcp_retries2 = 4, then silence",
        share: 20,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_retries2", "4")],
        ends: DyingEnd::Either,
        act: Action::ZeroWindow,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("window_probe", "zero_window")),
            kernel: &[
                ("TCPWinProbe", KernelFigure::AtLeast(2)),
                ("TCPAbortOnTimeout", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "local-send-failure",
        title: "data that our own firewall drops, tcp_retries2 = 4",
        share: 30,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_retries2", "4")],
        ends: DyingEnd::Either,
        act: Action::SendKeptBack,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("local_send_failure", "local_send")),
            // Nothing is sent: neither a probe nor a retransmission.
            kernel: &[
                ("TCPTimeouts", KernelFigure::Exactly(0)),
                ("TCPAbortOnTimeout", ONE),
                ("EstabResets", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "connect-timeout",
        title: "SYN into silence, tcp_syn_retries = 1",
        share: 70,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_syn_retries", "1")],
        ends: DyingEnd::Connecting,
        act: Action::SynTimeout,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("connect_timeout", "handshake")),
            kernel: &[
                ("TCPTimeouts", KernelFigure::AtLeast(2)),
                ("TCPAbortOnTimeout", ONE),
                ("AttemptFails", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "accept-timeout",
        title: "the final ACK never comes, tcp_synack_retries = 1",
        share: 70,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_synack_retries", "1")],
        ends: DyingEnd::Accepting,
        act: Action::SynAckTimeout,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("connect_timeout", "handshake")),
            kernel: &[("TCPTimeouts", KernelFigure::Exactly(2))],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "linger",
        title: "closed with SO_LINGER 0",
        share: 90,
        family: Family::Ipv6,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::Linger,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("reset_sent", "reset_sent")),
            kernel: &[
                ("OutRsts", ONE),
                ("EstabResets", ONE),
                ("TCPAbortOnData", ONE),
            ],
            agent: &[("resets_sent{tcp_state}", 1)],
        },
        other: RESET,
    },
    StressCase {
        name: "unread",
        title: "closed with unread data",
        share: 90,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::CloseUnread,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("reset_sent", "reset_sent")),
            kernel: &[
                ("OutRsts", ONE),
                ("EstabResets", ONE),
                ("TCPAbortOnClose", ONE),
            ],
            agent: &[("resets_sent{tcp_abort_on_close}", 1)],
        },
        other: RESET,
    },
    StressCase {
        name: "closed-while-sent",
        title: "closed, then the peer sends (tcp_fin_timeout = 120)",
        share: 40,
        family: Family::Ipv4,
        // Up to a minute the kernel keeps no more than a TIME_WAIT socket.
        sysctls: &[("ipv4/tcp_fin_timeout", "120")],
        ends: DyingEnd::Either,
        act: Action::SendAfterClose,
        dying: CLOSED_WHILE_SENT,
        other: RESET,
    },
    StressCase {
        name: "shut-down-while-sent",
        title: "shut down in both directions, then the peer sends",
        share: 30,
        family: Family::Ipv6,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::SendAfterShutdown,
        dying: CLOSED_WHILE_SENT,
        other: RESET,
    },
    StressCase {
        name: "orphan",
        title: "data into silence, then closed, tcp_orphan_retries = 1",
        share: 60,
        family: Family::Ipv4,
        sysctls: &[("ipv4/tcp_orphan_retries", "1")],
        ends: DyingEnd::Either,
        act: Action::Orphan,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("orphan", "orphan")),
            kernel: &[
                ("TCPTimeouts", KernelFigure::AtLeast(1)),
                ("TCPAbortOnTimeout", ONE),
            ],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "refused",
        title: "nobody listens",
        share: 70,
        family: Family::Ipv6,
        sysctls: &[],
        ends: DyingEnd::Connecting,
        act: Action::Refused,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("refused", "handshake")),
            kernel: &[("AttemptFails", ONE)],
            agent: &[("resets_received", 1)],
        },
        // The reset answers for no connection: the agent counts it under no port.
        other: EndExpectation {
            death: None,
            kernel: &[("OutRsts", ONE)],
            agent: &[],
        },
    },
    StressCase {
        name: "unreachable",
        title: "SYN answered by ICMP: host unreachable",
        share: 30,
        family: Family::Ipv4,
        // Each SYN is answered, however many there are in a second.
        sysctls: &[("ipv4/icmp_ratemask", "0")],
        ends: DyingEnd::Connecting,
        act: Action::Unreachable,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("unreachable", "handshake")),
            kernel: &[("AttemptFails", ONE)],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "connect-abandoned",
        title: "SYN into silence, closed after a timeout",
        share: 30,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Connecting,
        act: Action::AbandonConnect,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("connect_abandoned", "handshake")),
            kernel: &[("TCPTimeouts", KernelFigure::AtLeast(1))],
            agent: &[],
        },
        other: QUIET,
    },
    StressCase {
        name: "administrative",
        title: "killed by an administrator (SOCK_DESTROY)",
        share: 50,
        family: Family::Ipv4,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::Destroy,
        dying: EndExpectation {
            death: Some(ExpectedDeath::new("administrative", "abort")),
            kernel: &[("OutRsts", ONE), ("EstabResets", ONE)],
            agent: &[("resets_sent{tcp_state}", 1)],
        },
        other: RESET,
    },
    StressCase {
        name: "orderly",
        title: "closed in good order: no death at all",
        share: 40,
        family: Family::Ipv6,
        sysctls: &[],
        ends: DyingEnd::Either,
        act: Action::OrderlyClose,
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
        assert_eq!(CASES.iter().map(|case| case.share).sum::<u32>(), 1000);
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }

    #[test]
    fn every_cause_is_there() {
        let parts = CASES.iter().flat_map(|case| [case.dying, case.other]);
        let causes: BTreeSet<_> = parts
            .filter_map(|part| part.death)
            .map(|death| death.cause)
            .collect();
        assert_eq!(
            Vec::from_iter(causes),
            [
                "administrative",
                "connect_abandoned",
                "connect_timeout",
                "keepalive",
                "local_send_failure",
                "orphan",
                "refused",
                "reset_received",
                "reset_sent",
                "retransmission",
                "unreachable",
                "user_timeout",
                "window_probe",
            ]
        );
    }
}
