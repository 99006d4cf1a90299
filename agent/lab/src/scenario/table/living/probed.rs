//! Connections whose peer probes them. Its probes are old segments: the kernel answers them, and moves neither
//! `rcv_tstamp` nor `lrcvtime` (`tcp_validate_incoming`, net/ipv4/tcp_input.c), so that `ss` shows a silence of the
//! connection's whole life (lastrcv, lastack). `last_oow_ack_time` and `segs_in` move.

use std::time::Duration;

use socket2::Socket;

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, KernelFigure, QUIET, RECOVERED_LATE, RECOVERED_LATE_BY_KEEPALIVE, RESET,
            SideExpectation,
        },
        liveness::{ExpectedLiveness, HEALTHY, IDLE_GUARDED, ZERO_WINDOW, any_of},
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
        tcp_info,
    },
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario, V4_ONLY},
        stage::Stage,
    },
};

/// Probes of the peer, one a second, at least.
const PROBES: u64 = 11;

/// Looks of an agent that must find the peer heard.
const LOOKS: u64 = 10;

/// The same of one that answers seldom.
const SLOW_LOOKS: u64 = 3;

/// Twice the interval of the probes, in milliseconds.
const TWO_PROBES_MS: u64 = 2000;

/// Window probes, at 0.2, 0.6, 1.4, 3.0 and 6.2 s: how long the silence between two of them is depends on when one
/// looks.
const WINDOW_PROBES: u64 = 5;

/// Probes are no data: for its own application it is idle.
const PROBED: ExpectedLiveness = any_of(&["healthy", "idle_unguarded"]);

const ONE: AgentFigure = AgentFigure::Exactly(1);

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 41,
        variant: "",
        offset: 0,
        title: "no keepalive here, the peer's 1/1/3 probes for 11 s or more, then it resets (linger 0)",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_RECEIVED, KernelFigure::Exactly(1)),
                // Each probe, and an answer to each.
                (capture::ACK_RECEIVED, KernelFigure::AtLeast(PROBES)),
                (capture::ACK_SENT, KernelFigure::AtLeast(PROBES)),
            ],
            agent: RESET.agent,
        },
        server: SideExpectation {
            kernel: &[
                ("TCPKeepAlive", KernelFigure::AtLeast(PROBES)),
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                // The answer to the latest comes just before the end.
                ("keepalive_probes_answered", AgentFigure::Open),
                RECOVERED_LATE_BY_KEEPALIVE,
                ("resets_sent{tcp_state}", ONE),
                ("deaths{reset_sent}", ONE),
            ],
        },
        liveness: &[
            End::Client
                .is(PROBED)
                .looks(LOOKS)
                .never_found()
                .silent_within(TWO_PROBES_MS),
            End::Server.may_be(IDLE_GUARDED),
            End::Server.may_be(HEALTHY),
        ],
        trigger: by_keepalive,
    },
    Scenario {
        number: 41,
        variant: "window",
        offset: 2,
        title: "not reading here, the peer probes the closed window",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[("TCPWinProbe", KernelFigure::AtLeast(WINDOW_PROBES))],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                ("retransmission_timeouts", AgentFigure::Open),
            ],
        },
        server: QUIET,
        liveness: &[
            End::Client.may_be(ZERO_WINDOW),
            End::Client.may_be(HEALTHY),
            End::Server.is(PROBED).looks(SLOW_LOOKS).never_found(),
        ],
        trigger: by_window_probes,
    },
];

fn by_keepalive(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    keepalive(1, 1, 3)
        .prepare(&connection.server)
        .and_then(|()| connection.server.set_keepalive(true))
        .map_err(|source| Error::socket("switch SO_KEEPALIVE on at the server", source))?;
    stage.counts_while(End::Server, "TCPKeepAlive", PROBES, || {
        stage.look(End::Client).map(drop)
    })?;
    stage.await_liveness_while(End::Client, PROBED, LOOKS, || Ok(()))?;
    check_trap(stage, &connection.client, Duration::from_secs(PROBES - 1))?;
    connection
        .server
        .set_linger(Some(Duration::ZERO))
        .map_err(|source| Error::socket("set SO_LINGER to 0", source))?;
    drop(connection.server);
    stage.keep([connection.client]);
    stage.client_counts("EstabResets", 1).map(drop)
}

fn by_window_probes(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    stage.close_window(&connection, 1)?;
    stage.counts_while(End::Client, "TCPWinProbe", WINDOW_PROBES, || {
        stage.look(End::Server).map(drop)
    })?;
    stage.await_liveness_while(End::Server, PROBED, SLOW_LOOKS, || Ok(()))?;
    check_trap(stage, &connection.server, Duration::from_secs(5))?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

/// The kernel's own silence of an end that was probed for so long: the scenario shows nothing where it is short.
fn check_trap(stage: &Stage, socket: &Socket, probed_for: Duration) -> Result<(), Error> {
    let info = tcp_info::read(socket).map_err(|source| Error::socket("read TCP_INFO", source))?;
    let (received, acknowledged) = (info.since_data_received(), info.since_ack_received());
    if received.min(acknowledged) < probed_for {
        stage.fault(format!(
            "lastrcv {received:?}, lastack {acknowledged:?}: a probe of the peer has moved one, in {probed_for:?}"
        ));
    }
    Ok(())
}
