//! Connections that one side resets: the peer of each gets exactly one RST.

use std::{io::Write, mem::MaybeUninit, time::Duration};

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, RESET, SideExpectation},
        liveness::HEALTHY,
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
    },
    observe::capture,
    scenario::{
        definition::{IPV4, IPV6, Scenario, V4_ONLY},
        stage::{SocketPair, Stage},
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 17,
        variant: "",
        offset: 0,
        title: "close with unread data",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("TCPAbortOnClose", KernelFigure::Exactly(1)),
                ("TCPAbortOnData", KernelFigure::Exactly(0)),
            ],
            agent: &[
                ("resets_sent{tcp_abort_on_close}", ONE),
                ("deaths{reset_sent}", ONE),
            ],
        },
        server: RESET,
        liveness: &[],
        trigger: unread,
    },
    Scenario {
        number: 18,
        variant: "",
        offset: 0,
        title: "close with SO_LINGER 0",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("TCPAbortOnData", KernelFigure::Exactly(1)),
                ("TCPAbortOnClose", KernelFigure::Exactly(0)),
            ],
            agent: &[("resets_sent{tcp_state}", ONE), ("deaths{reset_sent}", ONE)],
        },
        server: RESET,
        liveness: &[],
        trigger: linger,
    },
    Scenario {
        number: 19,
        variant: "",
        offset: 0,
        title: "killed by an administrator (SOCK_DESTROY)",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                ("TCPAbortOnClose", KernelFigure::Exactly(0)),
                ("TCPAbortOnData", KernelFigure::Exactly(0)),
            ],
            agent: &[
                ("resets_sent{tcp_state}", ONE),
                ("deaths{administrative}", ONE),
            ],
        },
        server: RESET,
        liveness: &[],
        trigger: killed,
    },
    // Beyond the table: the one reset that belongs to no connection of its sender.
    Scenario {
        number: REFUSED,
        variant: "",
        offset: 0,
        title: "refused: nobody listens",
        forms: &[IPV4, IPV6],
        client: SideExpectation {
            kernel: &[
                ("AttemptFails", KernelFigure::Exactly(1)),
                (capture::RST_RECEIVED, KernelFigure::Exactly(1)),
            ],
            agent: &[("resets_received", ONE), ("deaths{refused}", ONE)],
        },
        server: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            agent: &[],
        },
        liveness: &[],
        trigger: refused,
    },
    Scenario {
        number: 45,
        variant: "",
        offset: 0,
        title: "the server was restarted: it answers a keepalive probe with a reset",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("TCPKeepAlive", KernelFigure::AtLeast(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_RECEIVED, KernelFigure::Exactly(2)),
            ],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                ("resets_received", ONE),
                ("deaths{reset_received}", ONE),
            ],
        },
        // One that the client's firewall swallows, and one that answers for no connection: its reason depends on
        // the kernel, and the totals tell that it was counted.
        server: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(2)),
                (capture::RST_SENT, KernelFigure::Exactly(2)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("resets_sent{tcp_state}", ONE),
                ("resets_sent{tcp_flags}", AgentFigure::Open),
                ("resets_sent{not_specified}", AgentFigure::Open),
                ("resets_sent{unknown}", AgentFigure::Open),
                ("deaths{administrative}", ONE),
            ],
        },
        liveness: &[End::Client.may_be(HEALTHY), End::Server.may_be(HEALTHY)],
        trigger: forgotten,
    },
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                ("TCPAbortOnData", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            agent: &[("resets_sent{tcp_state}", ONE)],
        },
        server: SideExpectation {
            kernel: RESET.kernel,
            agent: &[("resets_received", ONE)],
        },
        ..Scenario::new(
            IGNORED,
            "",
            0,
            "a health check connects and resets: its deaths are ignored, its resets are not",
            health_check,
        )
    },
];

const IGNORED: u16 = 63;

/// What an agent under test must ignore for the scenario of that name to be played (`--ignore`).
pub const IGNORE_FILTER: &str = "sport = :7630 or dport = :7630";

/// Both ends die, and the agent takes note of it, and of nothing else.
pub const DEATHS_IGNORED: u64 = 2;

/// Whether its deaths are ignored.
pub const fn is_ignored(scenario: &Scenario) -> bool {
    scenario.number == IGNORED
}

/// The number after the table's last.
const REFUSED: u16 = 21;

fn forgotten(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 9))?;
    stage.forgotten_by_server(connection)
}

fn unread(stage: &Stage) -> Result<(), Error> {
    let SocketPair { client, server } = stage.connect(Timeouts::default())?;
    (&server)
        .write_all(b"x")
        .and_then(|()| client.peek(&mut [MaybeUninit::uninit()]))
        .map_err(|source| Error::socket("send a byte that nobody reads", source))?;
    stage.keep([server]);
    drop(client);
    has_reset(stage)
}

fn linger(stage: &Stage) -> Result<(), Error> {
    let SocketPair { client, server } = stage.connect(Timeouts::default())?;
    client
        .set_linger(Some(Duration::ZERO))
        .map_err(|source| Error::socket("set SO_LINGER to 0", source))?;
    stage.keep([server]);
    drop(client);
    has_reset(stage)
}

fn health_check(stage: &Stage) -> Result<(), Error> {
    if stage.is_observed_by_a_stranger() {
        let why = "it needs an agent that the self-test has started, with --ignore";
        return Err(Error::Unsupported(why.to_owned()));
    }
    linger(stage)
}

fn killed(stage: &Stage) -> Result<(), Error> {
    let SocketPair { client, server } = stage.connect(Timeouts::default())?;
    stage.keep([client, server]);
    stage.kill(End::Client)?;
    has_reset(stage)
}

fn refused(stage: &Stage) -> Result<(), Error> {
    stage.refused()?;
    stage.server_counts("OutRsts", 1).map(drop)
}

fn has_reset(stage: &Stage) -> Result<(), Error> {
    stage.client_counts("OutRsts", 1)?;
    stage.server_counts("EstabResets", 1).map(drop)
}
