//! Connections whose peer falls silent and is heard again, in time.
//! It must never end one of them other than in good order.

use super::{Count, Figure, HEALTHY, IDLE_GUARDED, QUIET, Scenario, Side, V4_ONLY};
use crate::{
    Error,
    judgement::{End, suspect},
    stage::{Connection, Stage, Watch, keepalive},
};

const ONE: Count = Count::Exactly(1);

/// Probes, or timeouts, without an answer before the peer is heard again.
const UNANSWERED: u64 = 2;

pub(super) const SCENARIOS: &[Scenario] = &[
    // Beyond the table: what a glitch does to those whose keepalive is patient enough.
    Scenario {
        number: 24,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/1/30, peer silent for a while, then heard again",
        forms: V4_ONLY,
        client: Side {
            kernel: &[("TCPKeepAlive", Figure::AtLeast(UNANSWERED))],
            agent: &[
                ("keepalive_probes", Count::Kernel("TCPKeepAlive")),
                ("keepalive_probes_answered", Count::Open),
                ("recoveries{keepalive}", ONE),
            ],
        },
        server: QUIET,
        judged: &[
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
        client: Side {
            kernel: &[("TCPTimeouts", Figure::AtLeast(UNANSWERED))],
            agent: &[("recoveries{retransmission}", ONE)],
        },
        server: QUIET,
        judged: &[
            End::Client.is(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        trigger: in_flight,
    },
];

fn idle(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 30))?;
    stage.pair.drop_at_server()?;
    connection.guard()?;
    stage.client_counts("TCPKeepAlive", UNANSWERED)?;
    stage.judged(End::Client, suspect("keepalive"))?;
    heard_again(stage)?;
    stage.judged(End::Client, IDLE_GUARDED)?;
    connection.close()
}

fn in_flight(stage: &Stage) -> Result<(), Error> {
    let connection: Connection = stage.connect(Watch::default())?;
    stage.pair.drop_at_server()?;
    connection.speak()?;
    stage.client_counts("TCPTimeouts", UNANSWERED)?;
    stage.judged(End::Client, suspect("retransmission"))?;
    heard_again(stage)?;
    connection.close()
}

/// The first segment in was the handshake's.
fn heard_again(stage: &Stage) -> Result<(), Error> {
    stage.pair.restore_server()?;
    stage.client_counts("InSegs", 2).map(drop)
}
