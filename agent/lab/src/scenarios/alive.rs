//! Connections that look dead and are not.
//! It must never end one of them other than in good order.

use super::{
    Count, EVERYWHERE, Figure, HEALTHY, IDLE_GUARDED, QUIET, Scenario, Side, V4_ONLY, ZERO_WINDOW,
};
use crate::{
    Error,
    judgement::End,
    stage::{Stage, keepalive},
};

/// How many answered probes the table shows.
const PROBES: u64 = 8;

/// How many looks of an agent must find nothing wrong, after those that watch the probes.
const LOOKS: u64 = 10;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 13,
        variant: "",
        offset: 0,
        title: "zero window, keepalive 1/1/1, peer alive",
        forms: V4_ONLY,
        client: Side {
            kernel: &[("TCPWinProbe", Figure::AtLeast(4))],
            agent: &[
                ("window_probes", Count::Kernel("TCPWinProbe")),
                ("window_probes_answered", Count::Open),
                // An early answer may fall to the peer's limit of 500 ms.
                ("recoveries{window_probe}", Count::Open),
                ("recoveries{retransmission}", Count::Open),
                ("retransmission_timeouts", Count::Open),
            ],
        },
        server: QUIET,
        judged: &[
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
        client: Side {
            kernel: &[("TCPKeepAlive", Figure::AtLeast(PROBES))],
            agent: &[
                ("keepalive_probes", Count::Kernel("TCPKeepAlive")),
                ("keepalive_probes_answered", Count::Kernel("TCPKeepAlive")),
            ],
        },
        server: QUIET,
        judged: &[
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
    stage.fill(&connection, 1)?;
    connection.guard()?;
    stage.fill(&connection, 4)?;
    stage.judged_while(End::Client, ZERO_WINDOW, LOOKS, || Ok(()))?;
    // Once the data is gone keepalive would engage.
    connection.unguard()?;
    connection.close()
}

fn answered(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 9))?;
    connection.guard()?;
    let probes = stage
        .client_counts_seen("TCPKeepAlive", PROBES)?
        .get("TCPKeepAlive");
    stage.judged_while(End::Client, IDLE_GUARDED, LOOKS, || Ok(()))?;
    // The handshake's one segment, and one answer for each probe.
    stage.client_counts("InSegs", 1 + probes)?;
    connection.close()
}
