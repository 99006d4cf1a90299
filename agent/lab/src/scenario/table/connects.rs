//! Connects that the network refuses, and those that their application gives up.

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SideExpectation},
        liveness::{EMBRYONIC, LivenessRule},
    },
    net::{end::End, open::Timeouts, pair::Pair},
    observe::{capture, snmp::ICMP_ERRORS},
    scenario::{
        definition::{IPV4, IPV6, Scenario, ScenarioForm, V4_ONLY},
        stage::Stage,
    },
};

const BOTH: &[ScenarioForm] = &[IPV4, IPV6];

const FAILED: (&str, KernelFigure) = ("AttemptFails", KernelFigure::Exactly(1));
/// While the process owns the socket the kernel only takes note of it; the next SYN is answered by another one.
const ICMP_RECEIVED: (&str, KernelFigure) =
    (capture::UNREACHABLE_RECEIVED, KernelFigure::AtLeast(1));
const ICMP_SENT: SideExpectation = SideExpectation {
    kernel: &[(capture::UNREACHABLE_SENT, KernelFigure::AtLeast(1))],
    agent: &[],
};

/// A client that another host tells by ICMP that there is no way.
const UNREACHABLE: SideExpectation = SideExpectation {
    kernel: &[FAILED, ICMP_RECEIVED],
    agent: &[("deaths{unreachable}", AgentFigure::Exactly(1))],
};

/// Where an answer comes at once there may be nothing to see.
const BRIEFLY: &[LivenessRule] = &[End::Client.may_be(EMBRYONIC)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 35,
        variant: "",
        offset: 0,
        title: "SYN to an address of the own subnet that nobody has",
        forms: BOTH,
        // Its own kernel says so: nothing comes over the cable.
        client: SideExpectation {
            kernel: &[
                FAILED,
                (capture::UNREACHABLE_RECEIVED, KernelFigure::Exactly(0)),
            ],
            agent: UNREACHABLE.agent,
        },
        server: QUIET,
        liveness: BRIEFLY,
        trigger: |stage| fails(stage, Pair::nobody_at_server),
    },
    Scenario {
        number: 35,
        variant: "router",
        offset: 2,
        title: "SYN answered by ICMP: host unreachable",
        forms: BOTH,
        client: UNREACHABLE,
        server: ICMP_SENT,
        liveness: BRIEFLY,
        trigger: |stage| fails(stage, Pair::unreachable_server),
    },
    Scenario {
        number: 35,
        variant: "prohibited",
        offset: 4,
        title: "SYN answered by ICMP: administratively prohibited",
        forms: BOTH,
        client: UNREACHABLE,
        server: ICMP_SENT,
        liveness: BRIEFLY,
        trigger: |stage| fails(stage, Pair::prohibited_server),
    },
    Scenario {
        number: 35,
        variant: "port",
        offset: 6,
        title: "SYN answered by ICMP: port unreachable",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[FAILED, ICMP_RECEIVED],
            agent: &[("deaths{refused}", AgentFigure::Exactly(1))],
        },
        server: ICMP_SENT,
        liveness: BRIEFLY,
        trigger: |stage| fails(stage, Pair::unreachable_port),
    },
    Scenario {
        number: 37,
        variant: "",
        offset: 0,
        title: "SYN into silence, closed by its application after a timeout",
        forms: V4_ONLY,
        client: SideExpectation {
            // Nothing of the kernel's own counts that it was closed.
            kernel: &[
                ("TCPTimeouts", KernelFigure::AtLeast(1)),
                ("AttemptFails", KernelFigure::Exactly(0)),
            ],
            agent: &[("deaths{connect_abandoned}", AgentFigure::Exactly(1))],
        },
        server: QUIET,
        liveness: &[End::Client.is(EMBRYONIC)],
        trigger: given_up,
    },
    Scenario {
        number: 38,
        variant: "",
        offset: 0,
        title: "SYN answered by ICMP: port unreachable, while connect() runs; then closed",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[ICMP_RECEIVED],
            agent: &[("deaths{refused}", AgentFigure::Exactly(1))],
        },
        server: ICMP_SENT,
        liveness: BRIEFLY,
        trigger: closed_after_icmp,
    },
];

fn fails(stage: &Stage, cut: fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    cut(&stage.pair)?;
    stage.keep([stage.send_syn(Timeouts::default())?]);
    stage.client_counts("AttemptFails", 1).map(drop)
}

/// The ICMP error comes while the process still owns the socket, and waits in `sk_err_soft`.
fn closed_after_icmp(stage: &Stage) -> Result<(), Error> {
    stage.pair.unreachable_port()?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.client_counts(ICMP_ERRORS, 1)?;
    drop(client);
    stage.gone(End::Client)
}

fn given_up(stage: &Stage) -> Result<(), Error> {
    stage.pair.drop_at_server()?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.client_counts("TCPTimeouts", 1)?;
    stage.await_liveness(End::Client, EMBRYONIC)?;
    drop(client);
    stage.gone(End::Client)
}
