//! Connections whose peer falls silent and answers again, in time.

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SideExpectation},
        liveness::{HEALTHY, IDLE_GUARDED, suspect},
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
    },
    scenario::{
        definition::{Scenario, V4_ONLY},
        stage::{SocketPair, Stage},
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// Probes, or timeouts, without an answer before the peer answers again.
const UNANSWERED: u64 = 2;

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[
    // Beyond the table: a glitch that is shorter than what keepalive allows.
    Scenario {
        number: 24,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/1/30, peer silent for a while, then heard again",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[("TCPKeepAlive", KernelFigure::AtLeast(UNANSWERED))],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                ("keepalive_probes_answered", AgentFigure::Open),
                ("recoveries{keepalive}", ONE),
            ],
        },
        server: QUIET,
        liveness: &[
            End::Client.is(suspect("keepalive")),
            End::Client.is(IDLE_GUARDED),
            End::Client.may_be(HEALTHY),
        ],
        trigger: idle,
    },
    Scenario {
        number: 25,
        variant: "",
        offset: 0,
        title: "data in flight, peer silent for a while, then heard again",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[("TCPTimeouts", KernelFigure::AtLeast(UNANSWERED))],
            agent: &[("recoveries{retransmission}", ONE)],
        },
        server: QUIET,
        liveness: &[
            End::Client.is(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        trigger: in_flight,
    },
];

fn idle(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 30))?;
    stage.pair.drop_at_server()?;
    connection.enable_keepalive()?;
    stage.client_counts("TCPKeepAlive", UNANSWERED)?;
    stage.await_liveness(End::Client, suspect("keepalive"))?;
    heard_again(stage)?;
    stage.await_liveness(End::Client, IDLE_GUARDED)?;
    connection.close()
}

fn in_flight(stage: &Stage) -> Result<(), Error> {
    let connection: SocketPair = stage.connect(Timeouts::default())?;
    stage.pair.drop_at_server()?;
    connection.send_byte()?;
    stage.client_counts("TCPTimeouts", UNANSWERED)?;
    stage.await_liveness(End::Client, suspect("retransmission"))?;
    heard_again(stage)?;
    connection.close()
}

/// The first segment in was the handshake's.
fn heard_again(stage: &Stage) -> Result<(), Error> {
    stage.pair.restore_server()?;
    stage.client_counts("InSegs", 2).map(drop)
}
