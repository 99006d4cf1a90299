//! Windows that close on data in flight: its retransmissions probe them, which TCPTimeouts does not count as long
//! as an application holds the socket (`tcp_retransmit_timer`, net/ipv4/tcp_timer.c).
//!
//! There are no tail-loss probes: RetransSegs then has what was sent at each timeout, whichever way it counts.

use std::time::Duration;

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, KernelFigure, QUIET, RECOVERED_LATE, RETRANSMISSIONS, SideExpectation,
        },
        liveness::{HEALTHY, LivenessRule, ZERO_WINDOW, any_of, suspect},
    },
    net::{end::End, open::Timeouts, send_window, tcp_info},
    observe::capture,
    scenario::{
        definition::{BOTH, EVERYWHERE, Scenario, V4_ONLY},
        stage::{SocketPair, Stage},
    },
    wait::{self, Awaited, LIMIT},
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// Timeouts against the closed window before anything else happens.
const UNANSWERED: u64 = 2;

const TIMEOUTS: (&str, AgentFigure) = (
    "retransmission_timeouts",
    AgentFigure::KernelRange(RETRANSMISSIONS, 0),
);

/// The timeout that finds the connection dead sends nothing.
const TIMEOUTS_TO_DEATH: (&str, AgentFigure) = (
    "retransmission_timeouts",
    AgentFigure::KernelRange(RETRANSMISSIONS, 1),
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
            agent: &[TIMEOUTS, ("recoveries{window_probe}", ONE)],
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
    // Beyond the table: its peer has not taken the window back, it has never had the room. Each time it is sent
    // more than it has room for it acknowledges what it has, at once.
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("TCPWinProbe", KernelFigure::AtLeast(1)),
                ("RetransSegs", KernelFigure::AtLeast(ANSWERED)),
                (capture::ACK_RECEIVED, KernelFigure::AtLeast(ANSWERED)),
            ],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                TIMEOUTS,
            ],
        },
        liveness: &[
            End::Client.is(ZERO_WINDOW).looks(LOOKS),
            End::Client.may_be(HEALTHY),
        ],
        forms: BOTH,
        ..Scenario::new(
            65,
            "",
            0,
            "data beyond a closed window, each retransmission acknowledged at once, not reading",
            acknowledged_at_once,
        )
    },
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("TCPWinProbe", KernelFigure::AtLeast(1)),
                ("RetransSegs", KernelFigure::AtLeast(3)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                TIMEOUTS_TO_DEATH,
                ("deaths{user_timeout}", ONE),
            ],
        },
        liveness: SILENT_BEHIND_ZERO_WINDOW,
        ..Scenario::new(
            66,
            "",
            0,
            "data beyond a closed window, acknowledged once, then silence; user timeout 25 s",
            |stage| {
                let connection = silent_after_one(stage)?;
                connection
                    .client
                    .set_tcp_user_timeout(Some(Duration::from_secs(25)))
                    .map_err(|source| Error::socket("set TCP_USER_TIMEOUT", source))?;
                stage.keep([connection.client, connection.server]);
                stage.await_liveness(End::Client, suspect("window_probe"))?;
                stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
            },
        )
    },
    Scenario {
        client: SideExpectation {
            kernel: &[
                ("TCPWinProbe", KernelFigure::AtLeast(1)),
                ("RetransSegs", KernelFigure::AtLeast(ANSWERED)),
            ],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                RECOVERED_LATE,
                TIMEOUTS,
            ],
        },
        liveness: SILENT_BEHIND_ZERO_WINDOW,
        ..Scenario::new(
            66,
            "unlimited",
            1,
            "data beyond a closed window, acknowledged once, then silence; no user timeout",
            |stage| {
                let connection = silent_after_one(stage)?;
                stage.keep([connection.client, connection.server]);
                stage.client_counts("RetransSegs", ANSWERED)?;
                stage.await_liveness(End::Client, suspect("window_probe"))
            },
        )
    },
];

/// Retransmissions that the peer answers, or not: 0.2 + 0.4 + 0.8 + 1.6 s.
const ANSWERED: u64 = 4;

const LOOKS: u64 = 10;

/// How late an answer may come to be seen as one of the moment, on a slow machine.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Of what is sent beyond the window; a small segment.
const BEYOND: u32 = 100;

/// As long as nobody knows that the peer is gone its window is just closed.
const SILENT_BEHIND_ZERO_WINDOW: &[LivenessRule] = &[
    End::Client.is(suspect("window_probe")),
    End::Client.may_be(ZERO_WINDOW),
    End::Client.may_be(HEALTHY),
];

fn acknowledged_at_once(stage: &Stage) -> Result<(), Error> {
    let connection = send_beyond(stage, |_| Ok(()))?;
    stage.client_counts("RetransSegs", ANSWERED)?;
    let mut is_equal = false;
    let mut look = || {
        let info = tcp_info::read(&connection.client)
            .map_err(|source| Error::socket("read TCP_INFO", source))?;
        // `lastsnd` and `lastack` of ss.
        let apart = info.since_data_sent().abs_diff(info.since_ack_received());
        is_equal |= apart <= AT_ONCE;
        Ok(())
    };
    look()?;
    stage.await_liveness_while(End::Client, ZERO_WINDOW, LOOKS, look)?;
    if !is_equal {
        stage.fault("no retransmission was acknowledged at once".to_owned());
    }
    stage.keep([connection.client, connection.server]);
    Ok(())
}

/// The one segment beyond the window that the server acknowledges is the last that reaches it.
fn silent_after_one(stage: &Stage) -> Result<SocketPair, Error> {
    send_beyond(stage, |stage| stage.pair.only_one_long_at_server())
}

/// Fills the server's window, and sends a segment beyond it, which the timer of window probes does once there seems
/// to be room (`tcp_write_wakeup`, net/ipv4/tcp_output.c).
fn send_beyond(
    stage: &Stage,
    before: fn(&Stage) -> Result<(), Error>,
) -> Result<SocketPair, Error> {
    stage.pair.client.sysctl("ipv4/tcp_early_retrans", "0")?;
    let connection = stage.connect(Timeouts::default())?;
    stage.close_window(&connection, 1)?;
    before(stage)?;
    send_window::open(&connection.client, BEYOND)?;
    connection.await_in_flight("data in flight against a closed window", |segments| {
        segments > 0
    })?;
    // Linux 6.1 takes no window of 0 from an ACK of nothing new (`tcp_may_update_window`, net/ipv4/tcp_input.c).
    send_window::close(&connection.client)?;
    Ok(connection)
}

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
