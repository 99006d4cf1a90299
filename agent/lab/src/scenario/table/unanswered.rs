//! Connections with data to deliver whose peer falls silent.

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, GIVEN_UP, KernelFigure, QUIET, RECOVERED_LATE, SideExpectation,
        },
        liveness::{HEALTHY, IDLE_UNGUARDED, LivenessRule, ZERO_WINDOW, suspect},
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
        pair::Pair,
    },
    observe::capture,
    scenario::{
        definition::{Scenario, V4_ONLY},
        stage::Stage,
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

const UNREACHABLE: u16 = 26;

/// Until it was given up it retransmits.
const RETRANSMITTING: &[LivenessRule] = &[
    End::Client.is(suspect("retransmission")),
    End::Client.may_be(HEALTHY),
];

const CLOSED_WINDOW: &[(&str, KernelFigure)] = &[
    ("TCPWinProbe", KernelFigure::AtLeast(2)),
    ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
    ("EstabResets", KernelFigure::Exactly(1)),
];

/// While the peer is there the window is just closed.
const PROBING: &[LivenessRule] = &[
    End::Client.is(suspect("window_probe")),
    End::Client.may_be(ZERO_WINDOW),
    End::Client.may_be(HEALTHY),
];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 11,
        variant: "",
        offset: 0,
        title: "data in flight, tcp_retries2 = 5, peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        liveness: RETRANSMITTING,
        trigger: in_flight,
    },
    // Beyond the table: the error that the application gets is another one, the cause is not.
    Scenario {
        number: UNREACHABLE,
        variant: "",
        offset: 0,
        title: "data in flight, tcp_retries2 = 5, host unreachable by ICMP",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        liveness: RETRANSMITTING,
        trigger: unreachable,
    },
    Scenario {
        number: 12,
        variant: "",
        offset: 0,
        // The table has 3 s; more leaves time to look on a slow machine.
        title: "idle, user timeout 10 s, then a send into silence",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: GIVEN_UP,
            agent: &[("deaths{user_timeout}", ONE)],
        },
        server: QUIET,
        liveness: &[
            End::Client.is(IDLE_UNGUARDED).never_found(),
            End::Client.is(suspect("retransmission")).never_found(),
            End::Client.may_be(HEALTHY).never_found(),
        ],
        trigger: send_into_silence,
    },
    Scenario {
        number: 14,
        variant: "",
        offset: 0,
        title: "zero window, tcp_retries2 = 4, then peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: CLOSED_WINDOW,
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                ("retransmission_timeouts", AgentFigure::Open),
                ("deaths{window_probe}", ONE),
            ],
        },
        server: QUIET,
        liveness: PROBING,
        trigger: |stage| {
            // The table has 5: six probes with doubling pauses, minutes where round trips are slow.
            stage.pair.client.sysctl("ipv4/tcp_retries2", "4")?;
            vanish_full(stage, Timeouts::default())
        },
    },
    Scenario {
        number: 14,
        variant: "user-timeout",
        offset: 5,
        // The table has 8 s. Where round trips are slow and a probe is answered late, the next one may be due
        // only with the timeout: more leaves time for a probe without an answer, and to look.
        title: "zero window, user timeout 24 s, then peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: CLOSED_WINDOW,
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                ("retransmission_timeouts", AgentFigure::Open),
                ("deaths{user_timeout}", ONE),
            ],
        },
        server: QUIET,
        liveness: PROBING,
        trigger: |stage| vanish_full(stage, Timeouts::default().user_timeout(24)),
    },
    unsent(
        "",
        0,
        "data written, own output dropped, tcp_retries2 = 5",
        |stage| cannot_send(stage, Pair::drop_at_client),
    ),
    unsent(
        "address",
        1,
        "data written, own address removed, tcp_retries2 = 5",
        |stage| cannot_send(stage, Pair::remove_client_address),
    ),
    unsent(
        "route",
        2,
        "data written, own route gone, tcp_retries2 = 5",
        |stage| cannot_send(stage, Pair::remove_client_route),
    ),
    unsent(
        "link",
        3,
        "data written, own link down, tcp_retries2 = 5",
        |stage| cannot_send(stage, Pair::unplug_client),
    ),
];

/// The client's own host cannot send: nothing leaves it, no probe and no retransmission.
const fn unsent(
    variant: &'static str,
    offset: u16,
    title: &'static str,
    trigger: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                ("TCPTimeouts", KernelFigure::Exactly(0)),
                (capture::DATA_SENT, KernelFigure::Exactly(0)),
            ],
            agent: &[("deaths{local_send_failure}", ONE)],
        },
        liveness: SUSPECTED_UNSENT,
        ..Scenario::new(47, variant, offset, title, trigger)
    }
}

const SUSPECTED_UNSENT: &[LivenessRule] = &[
    End::Client.is(suspect("local_send_failure")),
    End::Client.may_be(HEALTHY),
    End::Server.may_be(HEALTHY),
];

fn cannot_send(stage: &Stage, fail: fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    let connection = stage.connect(Timeouts::default())?;
    fail(&stage.pair)?;
    connection.send_byte()?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, suspect("local_send_failure"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn in_flight(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    // Keepalive never engages while data is in flight.
    let connection = stage.connect(keepalive(1, 1, 3))?;
    stage.pair.drop_at_server()?;
    connection.send_byte()?;
    connection.enable_keepalive()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

fn unreachable(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    let connection = stage.connect(Timeouts::default())?;
    stage.pair.unreachable_server()?;
    connection.send_byte()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

/// As long as nobody writes TCP_USER_TIMEOUT alone finds nothing.
fn send_into_silence(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default().user_timeout(10))?;
    stage.pair.drop_at_server()?;
    stage.await_liveness(End::Client, IDLE_UNGUARDED)?;
    connection.send_byte()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

fn unacknowledged(stage: &Stage) -> Result<(), Error> {
    stage.client_counts("TCPTimeouts", 1)?;
    stage.await_liveness(End::Client, suspect("retransmission"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn vanish_full(stage: &Stage, watch: Timeouts) -> Result<(), Error> {
    let connection = stage.connect(watch)?;
    stage.close_window(&connection, 1)?;
    stage.pair.drop_at_server()?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, suspect("window_probe"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
