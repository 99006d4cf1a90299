//! The hooks: for each, what it is there for and every way to attach it.

use halfopen_common::switch;

use halfopen_core::model::hook::Mechanism::{self, Fentry, Kprobe, Tracepoint};

/// A program of the object and what it attaches to, in the order of attaching: exits first, so that
/// no entry is left without its exit.
pub type Attachment = (&'static str, &'static str);

/// One way to attach a hook.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    /// By which mechanism.
    pub mechanism: Mechanism,
    /// All of these, or it is not attached.
    pub programs: &'static [Attachment],
    /// Bits of [`switch`] it needs.
    pub switches: u32,
}

/// What depends on a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Frames the keepalive timer.
    KeepaliveTimer,
    /// Frames the retransmission and zero-window timers.
    WriteTimer,
    /// Counts retransmission timeouts.
    Retransmissions,
    /// Counts probes.
    Probes,
    /// Counts resets sent of our own accord.
    ActiveResets,
    /// Counts resets that answer a segment.
    ReplyResets,
    /// Counts resets that netfilter makes.
    NetfilterResets,
    /// Counts resets received.
    ResetsReceived,
    /// Tells deaths.
    States,
    /// Tells deaths by ICMP that [`Self::States`] missed.
    Errors,
    /// Forgets sockets at their end.
    Destroy,
    /// Counts timeouts of SYN-ACKs, and tells when a handshake was given up.
    Requests,
    /// Counts SYN cookies by listener.
    SynCookies,
    /// Tells in which cgroup connections are accepted.
    Accepts,
}

impl Role {
    /// Whether the kernel itself publishes the event, as a tracepoint of that very meaning.
    pub const fn is_published(self) -> bool {
        matches!(
            self,
            Self::ActiveResets
                | Self::ReplyResets
                | Self::ResetsReceived
                | Self::States
                | Self::Errors
                | Self::Destroy
        )
    }
}

/// One hook.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The kernel function or tracepoint.
    pub name: &'static str,
    /// In a few words.
    pub purpose: &'static str,
    /// What depends on it.
    pub role: Role,
    /// Every way, best first.
    pub ways: &'static [Way],
}

const fn way(mechanism: Mechanism, programs: &'static [Attachment]) -> Way {
    Way {
        mechanism,
        programs,
        switches: 0,
    }
}

const fn shared(programs: &'static [Attachment], switches: u32) -> Way {
    Way {
        mechanism: Tracepoint,
        programs,
        switches,
    }
}

const TIMERS: &[Attachment] = &[
    ("tp_timer_expire_exit", "timer_expire_exit"),
    ("tp_timer_expire_entry", "timer_expire_entry"),
];
const BOTH_TIMERS: u32 = switch::TIMER_KEEPALIVE | switch::TIMER_WRITE;
const TRACE_RESETS: &[Attachment] = &[("tp_send_reset", "tcp_send_reset")];

/// The kernel functions that some way attaches to, one that several ways do as often.
pub fn functions() -> impl Iterator<Item = &'static str> {
    let ways = HOOKS.iter().flat_map(|hook| hook.ways);
    ways.filter(|way| way.mechanism != Tracepoint)
        .flat_map(|way| way.programs)
        .map(|(_, function)| *function)
}

// They must not take the series of groups.
const _: () = assert!(HOOKS.len() <= halfopen_core::metrics::MOST_HOOKS);

/// All hooks, in the order in which they are attached: what counts probes and retransmissions
/// decides how the timers can be framed.
pub const HOOKS: [Hook; 14] = [
    Hook {
        name: "tcp_xmit_probe_skb",
        purpose: "keepalive and window probes",
        role: Role::Probes,
        ways: &[
            way(
                Fentry,
                &[
                    ("fexit_xmit_probe", "tcp_xmit_probe_skb"),
                    ("fentry_xmit_probe", "tcp_xmit_probe_skb"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_xmit_probe", "tcp_xmit_probe_skb"),
                    ("kprobe_xmit_probe", "tcp_xmit_probe_skb"),
                ],
            ),
            way(
                Fentry,
                &[
                    ("fexit_write_wakeup", "tcp_write_wakeup"),
                    ("fentry_write_wakeup", "tcp_write_wakeup"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_write_wakeup", "tcp_write_wakeup"),
                    ("kprobe_write_wakeup", "tcp_write_wakeup"),
                ],
            ),
            shared(TIMERS, BOTH_TIMERS | switch::TIMER_PROBES),
        ],
    },
    Hook {
        name: "tcp_retransmit_timer",
        purpose: "retransmission timeouts",
        role: Role::Retransmissions,
        ways: &[
            way(
                Fentry,
                &[
                    ("fexit_retransmit_timer", "tcp_retransmit_timer"),
                    ("fentry_retransmit_timer", "tcp_retransmit_timer"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_retransmit_timer", "tcp_retransmit_timer"),
                    ("kprobe_retransmit_timer", "tcp_retransmit_timer"),
                ],
            ),
            shared(TIMERS, BOTH_TIMERS | switch::TIMER_RETRANSMISSIONS),
        ],
    },
    Hook {
        name: "tcp_keepalive_timer",
        purpose: "deaths by keepalive",
        role: Role::KeepaliveTimer,
        ways: &[
            way(
                Fentry,
                &[
                    ("fexit_keepalive_timer", "tcp_keepalive_timer"),
                    ("fentry_keepalive_timer", "tcp_keepalive_timer"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_keepalive_timer", "tcp_keepalive_timer"),
                    ("kprobe_keepalive_timer", "tcp_keepalive_timer"),
                ],
            ),
            shared(TIMERS, switch::TIMER_KEEPALIVE),
        ],
    },
    Hook {
        name: "tcp_write_timer_handler",
        purpose: "deaths by retransmission and zero window",
        role: Role::WriteTimer,
        ways: &[
            way(
                Fentry,
                &[
                    ("fexit_write_timer", "tcp_write_timer_handler"),
                    ("fentry_write_timer", "tcp_write_timer_handler"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_write_timer", "tcp_write_timer_handler"),
                    ("kprobe_write_timer", "tcp_write_timer_handler"),
                ],
            ),
            shared(TIMERS, switch::TIMER_WRITE),
        ],
    },
    Hook {
        name: "tcp_send_active_reset",
        purpose: "resets we send of our own accord, and why",
        role: Role::ActiveResets,
        ways: &[
            way(
                Fentry,
                &[("fentry_send_active_reset", "tcp_send_active_reset")],
            ),
            shared(TRACE_RESETS, switch::TRACE_ACTIVE_RESETS),
            way(
                Kprobe,
                &[("kprobe_send_active_reset", "tcp_send_active_reset")],
            ),
        ],
    },
    Hook {
        name: "tcp_send_reset",
        purpose: "resets that answer a segment",
        role: Role::ReplyResets,
        ways: &[
            way(
                Fentry,
                &[
                    ("fentry_v4_send_reset", "tcp_v4_send_reset"),
                    ("fentry_v6_send_reset", "tcp_v6_send_reset"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kprobe_v4_send_reset", "tcp_v4_send_reset"),
                    ("kprobe_v6_send_reset", "tcp_v6_send_reset"),
                ],
            ),
            shared(TRACE_RESETS, switch::TRACE_REPLY_RESETS),
        ],
    },
    Hook {
        name: "nf_ct_attach",
        purpose: "resets that a firewall rule of this host makes",
        role: Role::NetfilterResets,
        ways: &[
            way(Fentry, &[("fentry_ct_attach", "nf_ct_attach")]),
            way(Kprobe, &[("kprobe_ct_attach", "nf_ct_attach")]),
        ],
    },
    Hook {
        name: "tcp_receive_reset",
        purpose: "resets received",
        role: Role::ResetsReceived,
        ways: &[
            way(Tracepoint, &[("tp_receive_reset", "tcp_receive_reset")]),
            way(Fentry, &[("fentry_reset", "tcp_reset")]),
            way(Kprobe, &[("kprobe_reset", "tcp_reset")]),
        ],
    },
    // Before what sees connections established, so that the accept of each of them is seen. Not by
    // kretprobe: it runs for processes, and while it does the kernel runs no kprobe for what interrupts
    // it; and of accept() calls that wait it knows ten or two a processor.
    Hook {
        name: "inet_csk_accept",
        purpose: "which unit's process accepts a connection",
        role: Role::Accepts,
        ways: &[
            way(Fentry, &[("fexit_accept", "inet_csk_accept")]),
            way(Fentry, &[("fexit_accept_flags", "inet_csk_accept")]),
        ],
    },
    Hook {
        name: "inet_sock_set_state",
        purpose: "when a connection ends, and on which path",
        role: Role::States,
        ways: &[
            way(Tracepoint, &[("tp_set_state", "inet_sock_set_state")]),
            way(Fentry, &[("fentry_set_state", "tcp_set_state")]),
            way(Kprobe, &[("kprobe_set_state", "tcp_set_state")]),
        ],
    },
    Hook {
        name: "inet_sk_error_report",
        purpose: "connects that ICMP ended, where their change of state was missed",
        role: Role::Errors,
        ways: &[
            way(Tracepoint, &[("tp_error_report", "inet_sk_error_report")]),
            way(Fentry, &[("fentry_error_report", "sk_error_report")]),
            way(Kprobe, &[("kprobe_error_report", "sk_error_report")]),
        ],
    },
    Hook {
        name: "tcp_destroy_sock",
        purpose: "when a socket is forgotten",
        role: Role::Destroy,
        ways: &[
            way(Tracepoint, &[("tp_destroy_sock", "tcp_destroy_sock")]),
            way(Fentry, &[("fentry_destroy_sock", "tcp_v4_destroy_sock")]),
            way(Kprobe, &[("kprobe_destroy_sock", "tcp_v4_destroy_sock")]),
        ],
    },
    Hook {
        name: "reqsk_timer_handler",
        purpose: "timeouts of SYN-ACKs, and handshakes given up on the accepting side",
        role: Role::Requests,
        ways: &[
            way(
                Fentry,
                &[
                    ("fexit_request_timer", "reqsk_timer_handler"),
                    ("fentry_request_timer", "reqsk_timer_handler"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kretprobe_request_timer", "reqsk_timer_handler"),
                    ("kprobe_request_timer", "reqsk_timer_handler"),
                ],
            ),
            shared(TIMERS, switch::TIMER_REQUESTS),
        ],
    },
    // No tracepoint stands in for it.
    Hook {
        name: "tcp_get_cookie_sock",
        purpose: "SYN cookies sent and validated, by listener",
        role: Role::SynCookies,
        ways: &[
            way(
                Fentry,
                &[
                    ("fentry_cookie_validated", "tcp_get_cookie_sock"),
                    ("fentry_synack", "tcp_make_synack"),
                ],
            ),
            way(
                Kprobe,
                &[
                    ("kprobe_cookie_validated", "tcp_get_cookie_sock"),
                    ("kprobe_synack", "tcp_make_synack"),
                ],
            ),
        ],
    },
];
