//! Windows that close on data in flight: its retransmissions probe them, which TCPTimeouts does not count as long
//! as an application holds the socket (`tcp_retransmit_timer`, net/ipv4/tcp_timer.c).
//!
//! There are no tail-loss probes: RetransSegs then has what was sent at each timeout, whichever way it counts.

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SideExpectation},
        liveness::{HEALTHY, ZERO_WINDOW, any_of, suspect},
    },
    net::{end::End, open::Timeouts, send_window},
    scenario::{
        definition::{EVERYWHERE, Scenario, V4_ONLY},
        stage::{SocketPair, Stage},
    },
    wait::{self, Awaited, LIMIT},
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// Timeouts against the closed window before anything else happens.
const UNANSWERED: u64 = 2;

/// The timeout that finds the connection dead sends nothing.
const TIMEOUTS_TO_DEATH: (&str, AgentFigure) = (
    "retransmission_timeouts",
    AgentFigure::KernelAnd("RetransSegs", 1),
);

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 55,
        variant: "",
        offset: 0,
        title: "window closed on data in flight, peer silent for a while, then heard again",
        forms: EVERYWHERE,
        client: SideExpectation {
            kernel: &[("RetransSegs", KernelFigure::AtLeast(UNANSWERED))],
            agent: &[(
                "retransmission_timeouts",
                AgentFigure::Kernel("RetransSegs"),
            )],
        },
        server: QUIET,
        liveness: &[
            End::Client.is(suspect("window_probe")),
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(ZERO_WINDOW),
            End::Client.may_be(HEALTHY),
        ],
        trigger: reopened,
    },
    Scenario {
        number: 55,
        variant: "user-timeout",
        offset: 5,
        title: "window closed on data in flight, user timeout 12 s, peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("RetransSegs", KernelFigure::AtLeast(UNANSWERED)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[TIMEOUTS_TO_DEATH, ("deaths{user_timeout}", ONE)],
        },
        server: QUIET,
        liveness: &[
            End::Client.may_be(suspect("window_probe")),
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(ZERO_WINDOW),
            End::Client.may_be(HEALTHY),
        ],
        trigger: given_up,
    },
    // TCPTimeouts counts once the application has closed its end.
    Scenario {
        number: 55,
        variant: "orphan",
        offset: 6,
        title: "window closed on data in flight, tcp_orphan_retries = 3, closed, peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("RetransSegs", KernelFigure::AtLeast(UNANSWERED)),
                ("TCPTimeouts", KernelFigure::AtLeast(2)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
            ],
            agent: &[TIMEOUTS_TO_DEATH, ("deaths{orphan}", ONE)],
        },
        server: QUIET,
        liveness: &[
            End::Client.may_be(any_of(&["orphan"])),
            End::Client.may_be(suspect("window_probe")),
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(ZERO_WINDOW),
            End::Client.may_be(HEALTHY),
        ],
        trigger: orphaned,
    },
];

/// The acknowledgement brings a new window.
fn reopened(stage: &Stage) -> Result<(), Error> {
    let connection = close_on_flight(stage, Timeouts::default())?;
    stage.await_liveness(End::Client, suspect("window_probe"))?;
    stage.pair.restore_server()?;
    // The first segment in was the handshake's.
    stage.client_counts("InSegs", 2)?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

fn given_up(stage: &Stage) -> Result<(), Error> {
    let connection = close_on_flight(stage, Timeouts::default().user_timeout(12))?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn orphaned(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_orphan_retries", "3")?;
    let connection = close_on_flight(stage, Timeouts::default())?;
    stage.keep([connection.server]);
    drop(connection.client);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// A byte is on its way into silence when the window closes, and is retransmitted into the closed window.
fn close_on_flight(stage: &Stage, timeouts: Timeouts) -> Result<SocketPair, Error> {
    stage.pair.client.sysctl("ipv4/tcp_early_retrans", "0")?;
    let connection = stage.connect(timeouts)?;
    stage.pair.drop_at_server()?;
    connection.send_byte()?;
    send_window::close(&connection.client)?;
    wait::until("timeouts that TCPTimeouts leaves out", LIMIT, || {
        let counters = stage.pair.client.counters()?;
        let [sent, counted] = ["RetransSegs", "TCPTimeouts"].map(|counter| counters.get(counter));
        Ok(if sent >= counted + UNANSWERED {
            Awaited::Done(())
        } else {
            Awaited::NotYet(format!("{sent} retransmissions, {counted} timeouts"))
        })
    })?;
    Ok(connection)
}
