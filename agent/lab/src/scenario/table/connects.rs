//! Connects that the network refuses, and those that their application gives up.

use std::{io, os::fd::AsFd as _};

use nix::{
    libc::{ECONNREFUSED, EHOSTUNREACH},
    poll::{PollFd, PollFlags, poll},
};
use socket2::Socket;

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SideExpectation},
        liveness::{EMBRYONIC, LivenessRule},
    },
    net::{end::End, family::Family, open::Timeouts, pair::Pair},
    observe::{
        capture,
        snmp::{ICMP_ERRORS, ICMP6_ERRORS},
    },
    scenario::{
        definition::{BOTH, IPV6, Scenario, ScenarioForm, V4_ONLY},
        stage::Stage,
    },
};

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

/// Clients that ICMP tells while connect() runs: the kernel only notes it, and goes on, unless the SYN is sent
/// again, or connect() had returned already.
const REFUSED_EARLY: SideExpectation = SideExpectation {
    kernel: &[ICMP_RECEIVED],
    agent: &[("deaths{refused}", AgentFigure::Exactly(1))],
};
const UNREACHABLE_EARLY: SideExpectation = SideExpectation {
    kernel: &[ICMP_RECEIVED],
    agent: &[("deaths{unreachable}", AgentFigure::Exactly(1))],
};

/// Unless the SYN is sent again before the close, as on a slow machine, and answered again.
const FORGOTTEN: SideExpectation = SideExpectation {
    kernel: &[ICMP_RECEIVED],
    agent: &[("deaths{refused}", AgentFigure::Kernel("AttemptFails"))],
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
    icmp_while_connecting(
        "",
        0,
        "SYN answered by ICMP: port unreachable, while connect() runs; then closed",
        BOTH,
        REFUSED_EARLY,
        |stage| closed(stage, answered_by_icmp(stage, Pair::unreachable_port)?),
    ),
    icmp_while_connecting(
        "so-error",
        2,
        "the same, SO_ERROR read before the close",
        V4_ONLY,
        REFUSED_EARLY,
        |stage| read_and_closed(stage, Pair::unreachable_port, ECONNREFUSED),
    ),
    icmp_while_connecting(
        "so-error-ipv6",
        3,
        "the same over IPv6, whose kernel code keeps nothing else: no death is seen",
        &[IPV6],
        FORGOTTEN,
        |stage| read_and_closed(stage, Pair::unreachable_port, ECONNREFUSED),
    ),
    icmp_while_connecting(
        "poll",
        4,
        "SYN answered by ICMP: port unreachable, while connect() runs; poll(), SO_ERROR, close",
        V4_ONLY,
        REFUSED_EARLY,
        |stage| polled_and_closed(stage, Pair::unreachable_port, ECONNREFUSED),
    ),
    icmp_while_connecting(
        "unreachable",
        6,
        "SYN answered by ICMP: host unreachable, while connect() runs; then closed",
        BOTH,
        UNREACHABLE_EARLY,
        |stage| closed(stage, answered_by_icmp(stage, Pair::unreachable_server)?),
    ),
    icmp_while_connecting(
        "unreachable-poll",
        8,
        "SYN answered by ICMP: host unreachable, while connect() runs; poll(), SO_ERROR, close",
        V4_ONLY,
        UNREACHABLE_EARLY,
        |stage| polled_and_closed(stage, Pair::unreachable_server, EHOSTUNREACH),
    ),
];

/// Less than until the SYN is sent again.
const POLL_MS: u8 = 200;

fn fails(stage: &Stage, cut: fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    cut(&stage.pair)?;
    stage.keep([stage.send_syn(Timeouts::default())?]);
    stage.client_counts("AttemptFails", 1).map(drop)
}

const fn icmp_while_connecting(
    variant: &'static str,
    offset: u16,
    title: &'static str,
    forms: &'static [ScenarioForm],
    client: SideExpectation,
    trigger: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario {
        forms,
        client,
        server: ICMP_SENT,
        liveness: BRIEFLY,
        ..Scenario::new(38, variant, offset, title, trigger)
    }
}

/// The ICMP error comes while the process still owns the socket, and waits in `sk_err_soft`.
fn answered_by_icmp(stage: &Stage, cut: fn(&Pair) -> Result<(), Error>) -> Result<Socket, Error> {
    cut(&stage.pair)?;
    let client = stage.send_syn(Timeouts::default())?;
    let errors = match stage.family() {
        Family::Ipv4 | Family::Mapped => ICMP_ERRORS,
        Family::Ipv6 => ICMP6_ERRORS,
    };
    stage.client_counts(errors, 1)?;
    Ok(client)
}

fn closed(stage: &Stage, client: Socket) -> Result<(), Error> {
    drop(client);
    stage.gone(End::Client)
}

fn read_and_closed(
    stage: &Stage,
    cut: fn(&Pair) -> Result<(), Error>,
    errno: i32,
) -> Result<(), Error> {
    let client = answered_by_icmp(stage, cut)?;
    reads_error(&client, errno)?;
    closed(stage, client)
}

fn polled_and_closed(
    stage: &Stage,
    cut: fn(&Pair) -> Result<(), Error>,
    errno: i32,
) -> Result<(), Error> {
    let client = answered_by_icmp(stage, cut)?;
    let mut polled = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut polled, POLL_MS).map_err(|errno| Error::socket("poll", errno.into()))?;
    if ready == 0 {
        let why = "the kernel does not tell poll() of ICMP while connect() runs (before 5.15)";
        return Err(Error::Unsupported(why.to_owned()));
    }
    reads_error(&client, errno)?;
    closed(stage, client)
}

/// SO_ERROR: what the application learns, and the kernel forgets.
fn reads_error(client: &Socket, errno: i32) -> Result<(), Error> {
    let failed = |source| Error::socket("read the error of a connect from SO_ERROR", source);
    let error = client.take_error().map_err(failed)?;
    if error.as_ref().and_then(io::Error::raw_os_error) == Some(errno) {
        return Ok(());
    }
    Err(failed(
        error.unwrap_or_else(|| io::Error::other("there is none")),
    ))
}

fn given_up(stage: &Stage) -> Result<(), Error> {
    stage.pair.drop_at_server()?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.client_counts("TCPTimeouts", 1)?;
    stage.await_liveness(End::Client, EMBRYONIC)?;
    drop(client);
    stage.gone(End::Client)
}
