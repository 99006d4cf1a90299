//! Segments that a firewall answers with a reset of its own. No socket sends it, and the kernel counts it in no
//! counter of TCP: OutRsts is 0 at both ends of each.

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, NETFILTER_HOOK, QUIET, RESET, SideExpectation},
        liveness::{EMBRYONIC, HEALTHY, LivenessRule},
    },
    net::{
        end::End,
        open::{Accept, Timeouts},
        pair::Pair,
    },
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario},
        stage::Stage,
    },
};

const ON_THE_WIRE: AgentFigure = AgentFigure::Kernel(capture::RST_SENT);

/// By tracepoints alone it is not seen.
const SENT: (&str, AgentFigure) = (
    "resets_sent{netfilter}",
    AgentFigure::Hooked(&[NETFILTER_HOOK], &ON_THE_WIRE),
);

/// listen() calls none of the functions that are hooked in place of this tracepoint: what is for a listener has
/// no owner there.
const SENT_FOR_LISTENER: (&str, AgentFigure) = (
    SENT.0,
    AgentFigure::Hooked(
        &[NETFILTER_HOOK, "inet_sock_set_state/tracepoint"],
        &ON_THE_WIRE,
    ),
);

const FAILED: (&str, KernelFigure) = ("AttemptFails", KernelFigure::Exactly(1));
/// A slow machine sends a segment again before it is rejected, and each is.
const CAME: (&str, KernelFigure) = (capture::RST_RECEIVED, KernelFigure::AtLeast(1));
const WENT: (&str, KernelFigure) = (capture::RST_SENT, KernelFigure::AtLeast(1));

const REFUSED: SideExpectation = SideExpectation {
    kernel: &[FAILED, CAME],
    agent: &[
        ("resets_received", AgentFigure::Exactly(1)),
        ("deaths{refused}", AgentFigure::Exactly(1)),
    ],
};

/// An answer comes at once: there may be nothing to see.
const BRIEFLY: &[LivenessRule] = &[End::Client.may_be(EMBRYONIC)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 46,
        variant: "",
        offset: 0,
        title: "the server's firewall rejects a SYN for a listener with a reset",
        forms: BOTH,
        client: REFUSED,
        server: SideExpectation {
            kernel: &[WENT],
            agent: &[SENT_FOR_LISTENER],
        },
        liveness: BRIEFLY,
        trigger: input,
    },
    Scenario {
        number: 46,
        variant: "established",
        offset: 2,
        title: "the server's firewall rejects data of a connection with a reset",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[("EstabResets", KernelFigure::Exactly(1)), CAME],
            agent: RESET.agent,
        },
        server: SideExpectation {
            kernel: &[WENT, ("EstabResets", KernelFigure::Exactly(0))],
            agent: &[SENT],
        },
        liveness: &[End::Client.may_be(HEALTHY), End::Server.may_be(HEALTHY)],
        trigger: established,
    },
    // The client's own host sends the reset, to itself: it does not pass the cable. Each SYN that is sent again
    // before it comes has one of its own.
    Scenario {
        number: 46,
        variant: "output",
        offset: 4,
        title: "the client's own firewall rejects its SYN with a reset",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[FAILED],
            agent: &[
                ("resets_received", AgentFigure::Exactly(1)),
                ("deaths{refused}", AgentFigure::Exactly(1)),
                (
                    SENT.0,
                    AgentFigure::Hooked(
                        &[NETFILTER_HOOK],
                        &AgentFigure::KernelRange(["AttemptFails", "TCPTimeouts"], 0),
                    ),
                ),
            ],
        },
        server: QUIET,
        liveness: BRIEFLY,
        trigger: output,
    },
    // It is no reset of the listener that has the port on the router; the totals tell that it was counted.
    Scenario {
        number: 46,
        variant: FORWARD,
        offset: 6,
        title: "a router's firewall rejects a SYN that it forwards with a reset",
        forms: BOTH,
        client: REFUSED,
        // The capture tells directions by the source, which is the address behind the router.
        server: SideExpectation {
            kernel: &[CAME],
            agent: &[],
        },
        liveness: BRIEFLY,
        trigger: forward,
    },
];

const FORWARD: &str = "forward";

/// Whether its reset is of no port of the host that makes it: no row has it.
pub(in crate::scenario) fn is_by_router(scenario: &Scenario) -> bool {
    scenario.number == 46 && scenario.variant == FORWARD
}

fn input(stage: &Stage) -> Result<(), Error> {
    stage.keep([stage.listen(Accept::AtOnce)?]);
    refused(stage, Pair::reset_at_server)
}

fn output(stage: &Stage) -> Result<(), Error> {
    stage.keep([stage.listen(Accept::AtOnce)?]);
    refused(stage, Pair::reset_at_client)
}

fn refused(stage: &Stage, reject: fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    reject(&stage.pair)?;
    stage.keep([stage.send_syn(Timeouts::default())?]);
    stage.client_counts("AttemptFails", 1).map(drop)
}

fn established(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    stage.pair.reset_at_server()?;
    connection.send_byte()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("EstabResets", 1).map(drop)
}

fn forward(stage: &Stage) -> Result<(), Error> {
    stage.keep([stage.listen_at_any()?]);
    stage.pair.reset_at_router()?;
    stage.keep([stage.send_syn_beyond()?]);
    stage.client_counts("AttemptFails", 1).map(drop)
}
