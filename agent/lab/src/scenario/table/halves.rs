//! Connections of which one half has ended, or both at one end only.

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, KernelFigure, QUIET, RECOVERED_LATE_BY_KEEPALIVE, SILENT, SideExpectation,
        },
        liveness::{CLOSING, HALF_CLOSED, HEALTHY, STALE, STALE_FIN_WAIT2, suspect},
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
    },
    observe::{capture, sockets::timer},
    scenario::{
        definition::{BOTH, Scenario, V4_ONLY},
        stage::Stage,
    },
};

/// The first two numbers after those that count resets.
const LEAKED: u16 = 22;
const HELD: u16 = 23;
const FORGOTTEN: u16 = 64;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 16,
        variant: "",
        offset: 0,
        title: "FIN_WAIT2 orphan: its keepalive timer sends no probe",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        liveness: &[End::Client.is(CLOSING)],
        trigger: orphan,
    },
    // Beyond the table: what an application that forgets its connections leaves behind.
    Scenario {
        number: LEAKED,
        variant: "",
        offset: 0,
        title: "half-closed by the peer, forgotten by its application: CLOSE_WAIT",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        liveness: &[
            End::Client.is(HALF_CLOSED).never_found(),
            End::Client.is(STALE).never_found(),
        ],
        trigger: leaked,
    },
    Scenario {
        number: HELD,
        variant: "",
        offset: 0,
        title: "FIN_WAIT2, held by its application",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        liveness: &[
            End::Client.is(HALF_CLOSED).never_found(),
            // Data is sent now and then, on a slow machine less often.
            End::Client.may_be(STALE_FIN_WAIT2).never_found(),
            End::Client.may_be(HEALTHY),
        ],
        trigger: held,
    },
    Scenario {
        number: FORGOTTEN,
        variant: "",
        offset: 0,
        title: "FIN_WAIT2, forgotten by its application: no timer runs",
        forms: BOTH,
        client: QUIET,
        server: QUIET,
        liveness: &[
            End::Client.is(STALE_FIN_WAIT2).never_found(),
            End::Client.may_be(HALF_CLOSED).never_found(),
            End::Client.may_be(HEALTHY),
        ],
        trigger: forgotten,
    },
    Scenario {
        number: FORGOTTEN,
        variant: "keepalive",
        offset: 5,
        title: "FIN_WAIT2, forgotten by its application, keepalive 1/1/9: ends when the peer is gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("TCPKeepAlive", KernelFigure::AtLeast(9)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                // tcp_set_state() counts it of ESTABLISHED and CLOSE_WAIT alone.
                ("EstabResets", KernelFigure::Exactly(0)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                ("keepalive_probes_answered", AgentFigure::Open),
                RECOVERED_LATE_BY_KEEPALIVE,
                ("deaths{keepalive}", AgentFigure::Exactly(1)),
                (
                    "resets_sent{tcp_keepalive_timeout}",
                    AgentFigure::Exactly(1),
                ),
            ],
        },
        server: SILENT,
        liveness: &[
            End::Client.is(STALE_FIN_WAIT2).found_within(1 + 9),
            End::Client.is(suspect("keepalive")).found_within(1 + 9),
            End::Client.may_be(HALF_CLOSED),
            End::Client.may_be(HEALTHY),
        ],
        trigger: forgotten_and_probed,
    },
];

/// With a tcp_fin_timeout above TCP_TIMEWAIT_LEN (60 s) the rest, 8 s, is on the keepalive timer,
/// which then makes a TIME_WAIT socket of the orphan.
fn orphan(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_fin_timeout", "68")?;
    let connection = stage.connect(Timeouts::default())?;
    // The server's end would be reset if it were closed after the orphan's end.
    stage.keep([connection.server]);
    drop(connection.client);
    stage.timer(End::Client, timer::KEEPALIVE)?;
    stage.await_liveness(End::Client, CLOSING)?;
    stage.timer(End::Client, timer::TIME_WAIT)
}

fn leaked(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    connection.end_half(End::Server)?;
    stage.reaches(End::Client, "close_wait")?;
    // However slow the agent is: as long as data goes out the connection is not stale.
    stage.await_liveness_while(End::Client, HALF_CLOSED, 1, || connection.send_byte())?;
    stage.await_liveness(End::Client, STALE)?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

/// However slow the agent is: as long as the peer sends the connection is not stale.
fn held(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    connection.end_half(End::Client)?;
    stage.reaches(End::Client, "fin_wait2")?;
    stage.await_liveness_while(End::Client, HALF_CLOSED, 1, || {
        connection.send_byte_from(End::Server)
    })?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

fn forgotten(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    connection.end_half(End::Client)?;
    stage.reaches(End::Client, "fin_wait2")?;
    stage.timer(End::Client, timer::NONE)?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, STALE_FIN_WAIT2)?;
    // Nothing has begun to end it meanwhile.
    stage.reaches(End::Client, "fin_wait2")?;
    stage.timer(End::Client, timer::NONE)
}

fn forgotten_and_probed(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 9))?;
    connection.enable_keepalive()?;
    connection.end_half(End::Client)?;
    stage.reaches(End::Client, "fin_wait2")?;
    stage.timer(End::Client, timer::KEEPALIVE)?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, STALE_FIN_WAIT2)?;
    stage.pair.drop_at_server()?;
    stage.await_liveness(End::Client, suspect("keepalive"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
