//! Connections with data to deliver whose peer falls silent.
//! It must never wait for a time: that a timer has run out is what the kernel's counters say.

use super::{
    Count, Figure, GIVEN_UP, HEALTHY, IDLE_UNGUARDED, QUIET, Scenario, Side, V4_ONLY, ZERO_WINDOW,
};
use crate::{
    Error,
    judgement::{Due, End, suspect},
    stage::{Stage, Watch, keepalive},
};

const ONE: Count = Count::Exactly(1);

const UNREACHABLE: u16 = 26;

/// Until it was given up it retransmits.
const RETRANSMITTING: &[Due] = &[
    End::Client.is(suspect("retransmission")),
    End::Client.may_be(HEALTHY),
];

const CLOSED_WINDOW: &[(&str, Figure)] = &[
    ("TCPWinProbe", Figure::AtLeast(2)),
    ("TCPAbortOnTimeout", Figure::Exactly(1)),
    ("EstabResets", Figure::Exactly(1)),
];

/// While the peer is there the window is just closed.
const PROBING: &[Due] = &[
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
        client: Side {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        judged: RETRANSMITTING,
        trigger: in_flight,
    },
    // Beyond the table: the error that the application gets is another one, the cause is not.
    Scenario {
        number: UNREACHABLE,
        variant: "",
        offset: 0,
        title: "data in flight, tcp_retries2 = 5, host unreachable by ICMP",
        forms: V4_ONLY,
        client: Side {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        judged: RETRANSMITTING,
        trigger: unreachable,
    },
    Scenario {
        number: 12,
        variant: "",
        offset: 0,
        // The table has 3 s; more leaves time to look on a slow machine.
        title: "idle, user timeout 10 s, then a send into silence",
        forms: V4_ONLY,
        client: Side {
            kernel: GIVEN_UP,
            agent: &[("deaths{user_timeout}", ONE)],
        },
        server: QUIET,
        judged: &[
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
        client: Side {
            kernel: CLOSED_WINDOW,
            agent: &[
                ("window_probes", Count::Kernel("TCPWinProbe")),
                ("window_probes_answered", Count::Open),
                // An early answer may fall to the peer's limit of 500 ms.
                ("recoveries{window_probe}", Count::Open),
                ("recoveries{retransmission}", Count::Open),
                ("retransmission_timeouts", Count::Open),
                ("deaths{window_probe}", ONE),
            ],
        },
        server: QUIET,
        judged: PROBING,
        trigger: |stage| {
            // The table has 5: six probes with doubling pauses, minutes where round trips are slow.
            stage.pair.client.sysctl("ipv4/tcp_retries2", "4")?;
            vanish_full(stage, Watch::default())
        },
    },
    Scenario {
        number: 14,
        variant: "user-timeout",
        offset: 5,
        // The table has 8 s; more leaves time to look on a slow machine.
        title: "zero window, user timeout 12 s, then peer gone",
        forms: V4_ONLY,
        client: Side {
            kernel: CLOSED_WINDOW,
            agent: &[
                ("window_probes", Count::Kernel("TCPWinProbe")),
                ("window_probes_answered", Count::Open),
                // An early answer may fall to the peer's limit of 500 ms.
                ("recoveries{window_probe}", Count::Open),
                ("recoveries{retransmission}", Count::Open),
                ("retransmission_timeouts", Count::Open),
                ("deaths{user_timeout}", ONE),
            ],
        },
        server: QUIET,
        judged: PROBING,
        trigger: |stage| vanish_full(stage, Watch::default().user_timeout(12)),
    },
];

fn in_flight(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    // Keepalive never engages while data is in flight.
    let connection = stage.connect(keepalive(1, 1, 3))?;
    stage.pair.drop_at_server()?;
    connection.speak()?;
    connection.guard()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

fn unreachable(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    let connection = stage.connect(Watch::default())?;
    stage.pair.unreachable_server()?;
    connection.speak()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

/// As long as nobody writes TCP_USER_TIMEOUT alone finds nothing.
fn send_into_silence(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default().user_timeout(10))?;
    stage.pair.drop_at_server()?;
    stage.judged(End::Client, IDLE_UNGUARDED)?;
    connection.speak()?;
    stage.keep([connection.client, connection.server]);
    unacknowledged(stage)
}

fn unacknowledged(stage: &Stage) -> Result<(), Error> {
    stage.client_counts("TCPTimeouts", 1)?;
    stage.judged(End::Client, suspect("retransmission"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn vanish_full(stage: &Stage, watch: Watch) -> Result<(), Error> {
    let connection = stage.connect(watch)?;
    stage.fill(&connection, 1)?;
    stage.pair.drop_at_server()?;
    stage.keep([connection.client, connection.server]);
    stage.judged(End::Client, suspect("window_probe"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
