//! Connections of which one half has ended, or both at one end only.

use crate::{
    Error,
    classify::{
        expectations::QUIET,
        liveness::{HALF_CLOSED, HEALTHY, STALE, any_of},
    },
    net::{end::End, open::Timeouts},
    observe::sockets::timer,
    scenario::{
        definition::{Scenario, V4_ONLY},
        stage::Stage,
    },
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
        liveness: &[End::Client.is(any_of(&["orphan"]))],
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
            End::Client.may_be(HEALTHY),
        ],
        trigger: held,
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
    stage.await_liveness(End::Client, any_of(&["orphan"]))?;
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

fn held(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    connection.end_half(End::Client)?;
    stage.reaches(End::Client, "fin_wait2")?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, HALF_CLOSED)
}
