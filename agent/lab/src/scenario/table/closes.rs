//! Closes that the peer does not know of yet: it goes on sending, and the kernel resets the connection.

use std::{io::Write as _, net::Shutdown};

use socket2::Socket;

use crate::{
    Error,
    classify::expectations::{AgentFigure, KernelFigure, RESET, SideExpectation},
    net::{
        end::End,
        open::{self, Timeouts},
    },
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario},
        stage::{SocketPair, Stage},
    },
};

/// The server's, once it has closed.
const FIN_WAIT1: &str = "fin_wait1";
/// A client's state once it has the FIN.
const CLOSE_WAIT: &str = "close_wait";

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// The side that has closed: it got no reset, and sends one. On a slow machine what the client sends, or
/// acknowledges, is sent twice: the second segment meets no connection, and is reset as well.
const CLOSED: SideExpectation = SideExpectation {
    kernel: &[
        ("OutRsts", KernelFigure::AtLeast(1)),
        (capture::RST_SENT, KernelFigure::AtLeast(1)),
        ("TCPAbortOnData", KernelFigure::Exactly(1)),
    ],
    agent: &[
        ("resets_sent{tcp_abort_on_data}", ONE),
        ("resets_sent{tcp_flags}", AgentFigure::Open),
        ("resets_sent{not_specified}", AgentFigure::Open),
        ("resets_sent{unknown}", AgentFigure::Open),
        ("deaths{reset_sent}", ONE),
    ],
};
const RESET_ONCE_OR_TWICE: SideExpectation = SideExpectation {
    kernel: &[
        ("EstabResets", KernelFigure::Exactly(1)),
        (capture::RST_RECEIVED, KernelFigure::AtLeast(1)),
    ],
    agent: RESET.agent,
};

const fn scenario(
    number: u16,
    variant: &'static str,
    offset: u16,
    title: &'static str,
    trigger: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario {
        forms: BOTH,
        client: RESET_ONCE_OR_TWICE,
        server: CLOSED,
        ..Scenario::new(number, variant, offset, title, trigger)
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(
        32,
        "",
        0,
        "shutdown of both directions, then the client sends 3 bytes",
        |stage| {
            let connection = stage.connect(Timeouts::default())?;
            shutdown(&connection)?;
            stage.reaches(End::Client, CLOSE_WAIT)?;
            sends(stage, connection)
        },
    ),
    scenario(
        32,
        "close",
        2,
        "close, then the client sends 3 bytes (tcp_fin_timeout = 120)",
        |stage| {
            // Up to a minute the kernel keeps no more than a TIME_WAIT socket of it.
            stage.pair.server.sysctl("ipv4/tcp_fin_timeout", "120")?;
            let SocketPair { client, server } = stage.connect(Timeouts::default())?;
            drop(server);
            stage.reaches(End::Client, CLOSE_WAIT)?;
            sends_alone(stage, client)
        },
    ),
    scenario(
        32,
        "fin-lost",
        4,
        "shutdown of both directions whose FIN is lost, then the client sends 3 bytes",
        |stage| {
            let connection = stage.connect(Timeouts::default())?;
            stage.pair.drop_fin_at_client()?;
            shutdown(&connection)?;
            sends(stage, connection)
        },
    ),
    scenario(
        32,
        "fin-lost-close",
        6,
        "close whose FIN is lost, then the client sends 3 bytes",
        |stage| {
            let SocketPair { client, server } = stage.connect(Timeouts::default())?;
            stage.pair.drop_fin_at_client()?;
            drop(server);
            // A process that another scenario starts may hold the socket for a moment longer.
            stage.reaches(End::Server, FIN_WAIT1)?;
            sends_alone(stage, client)
        },
    ),
    scenario(
        33,
        "",
        0,
        "close, then the client's 3 bytes acknowledge the FIN too",
        |stage| {
            let SocketPair { client, server } = stage.connect(Timeouts::default())?;
            stage.pair.only_data_at_server()?;
            drop(server);
            stage.reaches(End::Client, CLOSE_WAIT)?;
            sends_alone(stage, client)
        },
    ),
    scenario(
        33,
        "linger2",
        2,
        "close with TCP_LINGER2 -1: the kernel resets when its FIN is acknowledged",
        |stage| {
            let SocketPair { client, server } = stage.connect(Timeouts::default())?;
            open::no_fin_wait2(&server)
                .map_err(|source| Error::socket("set TCP_LINGER2", source))?;
            drop(server);
            stage.keep([client]);
            has_reset(stage)
        },
    ),
];

fn shutdown(connection: &SocketPair) -> Result<(), Error> {
    connection
        .server
        .shutdown(Shutdown::Both)
        .map_err(|source| Error::socket("shut a connection down", source))
}

/// The client sends, and both applications keep their sockets.
fn sends(stage: &Stage, SocketPair { client, server }: SocketPair) -> Result<(), Error> {
    stage.keep([server]);
    sends_alone(stage, client)
}

fn sends_alone(stage: &Stage, client: Socket) -> Result<(), Error> {
    (&client)
        .write_all(b"xyz")
        .map_err(|source| Error::socket("write to the client's socket", source))?;
    stage.keep([client]);
    has_reset(stage)
}

fn has_reset(stage: &Stage) -> Result<(), Error> {
    stage.server_counts("TCPAbortOnData", 1)?;
    stage.client_counts("EstabResets", 1).map(drop)
}
