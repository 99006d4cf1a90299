//! Connections that look dead and are not.
//! It must never end one of them other than in good order.

use super::{Count, EVERYWHERE, Figure, QUIET, Scenario, Side, V4_ONLY};
use crate::{
    Error,
    stage::{Stage, Watch, keepalive},
};

/// How many answered probes the table shows.
const PROBES: u64 = 8;

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
                ("retransmission_timeouts", Count::Open),
            ],
        },
        server: QUIET,
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
        trigger: answered,
    },
    Scenario {
        number: 16,
        variant: "",
        offset: 0,
        title: "FIN_WAIT2 orphan: its keepalive timer sends no probe",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        trigger: orphan,
    },
];

fn not_reading(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 1))?;
    stage.fill(&connection, 1)?;
    connection.guard()?;
    stage.fill(&connection, 4)?;
    // Once the data is gone keepalive would engage.
    connection.unguard()?;
    connection.close()
}

fn answered(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(keepalive(1, 1, 9))?;
    connection.guard()?;
    let probes = stage
        .client_counts("TCPKeepAlive", PROBES)?
        .get("TCPKeepAlive");
    // The handshake's one segment, and one answer for each probe.
    stage.client_counts("InSegs", 1 + probes)?;
    connection.close()
}

/// With a tcp_fin_timeout above TCP_TIMEWAIT_LEN (60 s) the rest, 8 s, is on the keepalive timer,
/// which then makes a TIME_WAIT socket of the orphan.
fn orphan(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_fin_timeout", "68")?;
    let connection = stage.connect(Watch::default())?;
    // The server's end would be reset if it were closed after the orphan's end.
    stage.keep([connection.server]);
    drop(connection.client);
    // Columns tr of /proc/net/tcp: 2 is the keepalive timer, 3 that of TIME_WAIT.
    stage.client_timer("02")?;
    stage.client_timer("03")
}
