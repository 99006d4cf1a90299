//! Connections that look dead and are not.

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, KernelFigure, QUIET, RECOVERED_LATE, RECOVERED_LATE_BY_KEEPALIVE,
            SideExpectation,
        },
        liveness::{HEALTHY, IDLE_GUARDED, ZERO_WINDOW},
    },
    net::{end::End, open::keepalive},
    observe::capture,
    scenario::{
        definition::{EVERYWHERE, Scenario, V4_ONLY},
        stage::Stage,
    },
};

/// How many answered probes the table shows.
const PROBES: u64 = 8;

/// How many looks of an agent must find nothing wrong, after those that watch the probes.
const LOOKS: u64 = 10;

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 13,
        variant: "",
        offset: 0,
        title: "zero window, keepalive 1/1/1, peer alive",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[("TCPWinProbe", KernelFigure::AtLeast(4))],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                ("retransmission_timeouts", AgentFigure::Open),
            ],
        },
        server: QUIET,
        liveness: &[
            End::Client.is(ZERO_WINDOW).looks(LOOKS),
            End::Client.may_be(HEALTHY),
        ],
        trigger: not_reading,
    },
    Scenario {
        number: 15,
        variant: "",
        offset: 0,
        title: "keepalive 1/1/9, peer alive",
        forms: EVERYWHERE,
        client: SideExpectation {
            kernel: &[("TCPKeepAlive", KernelFigure::AtLeast(PROBES))],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                (
                    "keepalive_probes_answered",
                    AgentFigure::Kernel(capture::ANSWERS),
                ),
                RECOVERED_LATE_BY_KEEPALIVE,
            ],
        },
        server: QUIET,
        liveness: &[
            End::Client
                .is(IDLE_GUARDED)
                .looks(LOOKS)
                .found_within(1 + 9),
            End::Client.may_be(HEALTHY).found_within(1 + 9),
        ],
        trigger: answered,
    },
];

fn not_reading(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 1))?;
    stage.close_window(&connection, 1)?;
    connection.enable_keepalive()?;
    stage.close_window(&connection, 4)?;
    stage.await_liveness_while(End::Client, ZERO_WINDOW, LOOKS, || Ok(()))?;
    // Once the data is gone keepalive would engage.
    connection.disable_keepalive()?;
    connection.close()
}

fn answered(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 9))?;
    connection.enable_keepalive()?;
    let probes = stage
        .client_counts_while_observed("TCPKeepAlive", PROBES)?
        .get("TCPKeepAlive");
    stage.await_liveness_while(End::Client, IDLE_GUARDED, LOOKS, || Ok(()))?;
    // The handshake's one segment, and one answer for each probe.
    stage.client_counts("InSegs", 1 + probes)?;
    connection.close()
}
