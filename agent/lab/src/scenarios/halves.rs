//! Connections of which one half has ended, or both at one end only.
//! It must never end the other half by itself: what is left open stays so until it was judged.

use super::{HALF_CLOSED, HEALTHY, QUIET, STALE, Scenario, V4_ONLY};
use crate::{
    Error,
    judgement::{End, judged},
    sockets::timer,
    stage::{Stage, Watch},
};

/// The first two numbers after those that count resets.
const LEAKED: u16 = 22;
const HELD: u16 = 23;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 16,
        variant: "",
        offset: 0,
        title: "FIN_WAIT2 orphan: its keepalive timer sends no probe",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        judged: &[End::Client.is(judged(&["orphan"]))],
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
        judged: &[
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
        judged: &[
            End::Client.is(HALF_CLOSED).never_found(),
            End::Client.may_be(HEALTHY),
        ],
        trigger: held,
    },
];

/// With a tcp_fin_timeout above TCP_TIMEWAIT_LEN (60 s) the rest, 8 s, is on the keepalive timer,
/// which then makes a TIME_WAIT socket of the orphan.
fn orphan(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_fin_timeout", "68")?;
    let connection = stage.connect(Watch::default())?;
    // The server's end would be reset if it were closed after the orphan's end.
    stage.keep([connection.server]);
    drop(connection.client);
    stage.timer(End::Client, timer::KEEPALIVE)?;
    stage.judged(End::Client, judged(&["orphan"]))?;
    stage.timer(End::Client, timer::TIME_WAIT)
}

fn leaked(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default())?;
    connection.end_half(End::Server)?;
    stage.reaches(End::Client, "close_wait")?;
    // However slow the agent is: as long as data goes out the connection is not stale.
    stage.judged_while(End::Client, HALF_CLOSED, 1, || connection.speak())?;
    stage.judged(End::Client, STALE)?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

fn held(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default())?;
    connection.end_half(End::Client)?;
    stage.reaches(End::Client, "fin_wait2")?;
    stage.keep([connection.client, connection.server]);
    stage.judged(End::Client, HALF_CLOSED)
}
