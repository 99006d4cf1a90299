//! Settings that limit how long a dead peer stays unknown, and that are easily left out of account. What the agent
//! says at first sight is compared with the death that follows.

use std::time::{Duration, Instant};

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, GIVEN_UP, KernelFigure, SideExpectation},
        liveness::{EMBRYONIC, HEALTHY, LivenessRule, suspect},
    },
    net::{end::End, host::Host, open::Timeouts},
    scenario::{definition::Scenario, stage::Stage},
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// SYNs that are sent again after one second each, before the time doubles: 6.5 and later (ip-sysctl.rst).
const LINEAR: &str = "ipv4/tcp_syn_linear_timeouts";
/// The longest retransmission timeout: 6.15 and later.
const RTO_MAX: &str = "ipv4/tcp_rto_max_ms";

const CONNECTING: &[LivenessRule] = &[End::Client.is(EMBRYONIC)];

const SECOND: Duration = Duration::from_secs(1);

pub(super) const SCENARIOS: &[Scenario] = &[
    // 1 + 2 s, the time of one timeout that doubles (`retransmits_timed_out`).
    connecting(
        "",
        0,
        "SYN sent, tcp_syn_linear_timeouts = 4, tcp_syn_retries = 1, nobody answers",
        |stage| unheard(stage, "1", Timeouts::default(), 3, 2),
    ),
    // 1 + 2 + 4 s: found when the timer fires that follows, at 1, 2, 3, 4, 5 and 7 s.
    connecting(
        "two",
        1,
        "SYN sent, tcp_syn_linear_timeouts = 4, tcp_syn_retries = 2, nobody answers",
        |stage| unheard(stage, "2", Timeouts::default(), 7, 2),
    ),
    // By the number of retries: 5 × 1 + 2 + 4 + 8 s; 1 + 2 + 4 + 8 s without linear timeouts.
    connecting(
        "three",
        2,
        "SYN sent, tcp_syn_linear_timeouts = 4, tcp_syn_retries = 3, nobody answers",
        |stage| {
            let takes = if Host::has_sysctl(LINEAR) { 19 } else { 15 };
            unheard(stage, "3", Timeouts::default(), takes, 8)
        },
    ),
    connecting(
        "syncnt",
        3,
        "SYN sent, TCP_SYNCNT = 1, nobody answers",
        |stage| unheard(stage, "6", Timeouts::default().syn_count(1), 3, 2),
    ),
    Scenario {
        client: SideExpectation {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        liveness: &[
            End::Client.is(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        ..Scenario::new(
            49,
            "",
            0,
            "data in flight, tcp_rto_max_ms = 1000, tcp_retries2 = 8, peer gone",
            soon_given_up,
        )
    },
];

const fn connecting(
    variant: &'static str,
    offset: u16,
    title: &'static str,
    trigger: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("AttemptFails", KernelFigure::Exactly(1)),
                ("TCPTimeouts", KernelFigure::AtLeast(2)),
            ],
            agent: &[("deaths{connect_timeout}", ONE)],
        },
        liveness: CONNECTING,
        ..Scenario::new(44, variant, offset, title, trigger)
    }
}

fn unheard(
    stage: &Stage,
    retries: &'static str,
    timeouts: Timeouts,
    takes: u64,
    timer: u64,
) -> Result<(), Error> {
    let client = &stage.pair.client;
    if Host::has_sysctl(LINEAR) {
        client.sysctl(LINEAR, "4")?;
    }
    client.sysctl("ipv4/tcp_syn_retries", retries)?;
    stage.pair.drop_at_server()?;
    let mut begun = Instant::now();
    let prediction = stage.predict(|| {
        begun = Instant::now();
        stage.keep([stage.send_syn(timeouts)?]);
        Ok(())
    })?;
    stage.given_up(
        begun,
        Duration::from_secs(takes),
        Duration::from_secs(timer),
        prediction,
    )
}

/// 0.2 + 0.4 + 0.8 s, and six times the longest (`tcp_model_timeout`), from the first time that the data is sent
/// again.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(7400);

fn soon_given_up(stage: &Stage) -> Result<(), Error> {
    if !Host::has_sysctl(RTO_MAX) {
        return Err(Error::Unsupported(
            "the kernel has no tcp_rto_max_ms (6.15 and later)".to_owned(),
        ));
    }
    let client = &stage.pair.client;
    client.sysctl(RTO_MAX, "1000")?;
    client.sysctl("ipv4/tcp_retries2", "8")?;
    let connection = stage.connect(Timeouts::default())?;
    stage.pair.drop_at_server()?;
    let mut begun = Instant::now();
    let prediction = stage.predict(|| {
        begun = Instant::now();
        connection.send_byte()?;
        stage.client_counts("TCPTimeouts", 1).map(drop)
    })?;
    stage.keep([connection.client, connection.server]);
    stage.await_liveness(End::Client, suspect("retransmission"))?;
    stage.given_up(begun, GIVEN_UP_AFTER, SECOND, prediction)
}
