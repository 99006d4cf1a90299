//! Connections that do not get past their handshake.
//! It must never count SYNs: how many go out in a given time depends on the kernel
//! (tcp_syn_linear_timeouts, 6.5 and later).

use super::{Count, EMBRYONIC, Figure, QUIET, Scenario, Side, V4_ONLY};
use crate::{
    Error, Pair,
    judgement::{End, Judgement, judged},
    sockets::SYN_RECV,
    stage::{Accept, Stage, Watch, keepalive},
};

/// The table has 6: two minutes. With 3 the SYN times out after 15 s, or 19 s from 6.5 on.
const SYN_RETRIES: &str = "3";

/// The table has 5: a minute. With 3 the SYN-ACK is given up 1 + 2 + 4 + 8 s after it was sent.
const SYNACK_RETRIES: &str = "3";

/// A client whose SYN timed out.
const UNHEARD: Side = Side {
    kernel: &[
        ("TCPAbortOnTimeout", Figure::Exactly(1)),
        ("AttemptFails", Figure::Exactly(1)),
        ("TCPTimeouts", Figure::AtLeast(2)),
    ],
    agent: &[("deaths{connect_timeout}", Count::Exactly(1))],
};

/// A server whose request socket ran out of retries: nothing dies by the kernel's counters, and the
/// kernel counts each of its timeouts, the last one included, though nothing is retransmitted by the
/// timer that serves connections.
const EXPIRED: Side = Side {
    kernel: &[("TCPTimeouts", Figure::Exactly(4))],
    agent: &[
        ("retransmission_timeouts", Count::Exactly(0)),
        ("deaths{connect_timeout}", Count::Exactly(1)),
    ],
};

/// A client that has done its part: no data, no keepalive.
const CONNECTED: Judgement = judged(&["healthy", "idle_unguarded"]);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 1,
        variant: "",
        offset: 0,
        title: "SYN sent, tcp_syn_retries = 3, nobody answers",
        forms: V4_ONLY,
        client: UNHEARD,
        server: QUIET,
        judged: &[End::Client.is(EMBRYONIC)],
        trigger: |stage| {
            stage
                .pair
                .client
                .sysctl("ipv4/tcp_syn_retries", SYN_RETRIES)?;
            unheard(stage, Watch::default())
        },
    },
    Scenario {
        number: 2,
        variant: "",
        offset: 0,
        // The table has 5 s; more leaves time to look on a slow machine.
        title: "SYN sent, user timeout 12 s and keepalive 1/1/3, nobody answers",
        forms: V4_ONLY,
        client: UNHEARD,
        server: QUIET,
        judged: &[End::Client.is(EMBRYONIC)],
        trigger: |stage| unheard(stage, keepalive(1, 1, 3).user_timeout(12)),
    },
    Scenario {
        number: 3,
        variant: "",
        offset: 0,
        title: "SYN received, tcp_synack_retries = 3, client gone",
        forms: V4_ONLY,
        client: QUIET,
        server: EXPIRED,
        judged: &[End::Server.is(EMBRYONIC)],
        trigger: half_heard,
    },
    Scenario {
        number: 4,
        variant: "",
        offset: 0,
        title: "final ACK lost, tcp_synack_retries = 3: connected on one side only",
        forms: V4_ONLY,
        client: QUIET,
        server: EXPIRED,
        judged: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(EMBRYONIC),
        ],
        trigger: acknowledgement_lost,
    },
    Scenario {
        number: 5,
        variant: "",
        offset: 0,
        title: "TCP_DEFER_ACCEPT: not accepted until data comes",
        forms: V4_ONLY,
        client: QUIET,
        server: Side {
            kernel: &[
                ("TCPTimeouts", Figure::AtLeast(1)),
                ("TCPSynRetrans", Figure::Exactly(0)),
            ],
            agent: &[("retransmission_timeouts", Count::Exactly(0))],
        },
        judged: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(EMBRYONIC),
        ],
        trigger: deferred,
    },
    // Beyond the table: a child that is there before its handshake's end, and one whose listener goes.
    Scenario {
        number: FAST_OPEN,
        variant: "",
        offset: 0,
        title: "Fast Open: accepted with the SYN, tcp_synack_retries = 1, client gone",
        forms: V4_ONLY,
        client: QUIET,
        server: Side {
            kernel: &[("TCPAbortOnTimeout", Figure::Exactly(1))],
            agent: &[
                ("retransmission_timeouts", Count::Exactly(0)),
                ("deaths{connect_timeout}", Count::Exactly(1)),
            ],
        },
        judged: &[End::Server.is(EMBRYONIC)],
        trigger: fast_open,
    },
    Scenario {
        number: ABANDONED,
        variant: "",
        offset: 0,
        title: "SYN received, client gone, listener closed",
        forms: V4_ONLY,
        client: QUIET,
        server: Side {
            kernel: &[],
            agent: &[
                ("retransmission_timeouts", Count::Exactly(0)),
                ("deaths{orphan}", Count::Exactly(1)),
            ],
        },
        judged: &[End::Server.may_be(EMBRYONIC)],
        trigger: abandoned,
    },
];

const FAST_OPEN: u16 = 27;
const ABANDONED: u16 = 28;

fn unheard(stage: &Stage, watch: Watch) -> Result<(), Error> {
    stage.pair.drop_at_server()?;
    stage.keep([stage.knock(watch)?]);
    stage.judged(End::Client, EMBRYONIC)?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// The client hears no SYN-ACK, and gives up: its SYN was its last word.
fn half_heard(stage: &Stage) -> Result<(), Error> {
    stage
        .pair
        .server
        .sysctl("ipv4/tcp_synack_retries", SYNACK_RETRIES)?;
    stage.keep([stage.listen(Accept::AtOnce)?]);
    stage.pair.deafen_client()?;
    let client = stage.knock(Watch::default())?;
    stage.reaches(End::Server, SYN_RECV)?;
    drop(client);
    stage.judged(End::Server, EMBRYONIC)?;
    stage.gone(End::Server)
}

/// net.ipv4.tcp_fastopen (ip-sysctl): clients need no cookie.
const CLIENTS_WITHOUT_COOKIE: &str = "5";
/// Servers ask for none, and every listener takes part.
const SERVERS_WITHOUT_COOKIE: &str = "1538";

fn fast_open(stage: &Stage) -> Result<(), Error> {
    let Pair { client, server, .. } = &stage.pair;
    client.sysctl("ipv4/tcp_fastopen", CLIENTS_WITHOUT_COOKIE)?;
    server.sysctl("ipv4/tcp_fastopen", SERVERS_WITHOUT_COOKIE)?;
    server.sysctl("ipv4/tcp_synack_retries", "1")?;
    stage.keep([stage.listen(Accept::AtOnce)?]);
    stage.pair.deafen_client()?;
    let client = stage.knock_with_data()?;
    stage.reaches(End::Server, SYN_RECV)?;
    drop(client);
    stage.judged(End::Server, EMBRYONIC)?;
    stage.server_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn abandoned(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    stage.pair.deafen_client()?;
    let client = stage.knock(Watch::default())?;
    stage.reaches(End::Server, SYN_RECV)?;
    drop((client, listener));
    stage.gone(End::Server)
}

fn acknowledgement_lost(stage: &Stage) -> Result<(), Error> {
    stage
        .pair
        .server
        .sysctl("ipv4/tcp_synack_retries", SYNACK_RETRIES)?;
    stage.keep([stage.listen(Accept::AtOnce)?]);
    stage.pair.only_syn_at_server()?;
    stage.keep([stage.knock(Watch::default())?]);
    stage.reaches(End::Client, "established")?;
    stage.judged(End::Client, CONNECTED)?;
    stage.judged(End::Server, EMBRYONIC)?;
    stage.gone(End::Server)
}

fn deferred(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::WithData)?;
    let client = stage.knock(Watch::default())?;
    stage.reaches(End::Client, "established")?;
    // The SYN-ACK's timer has fired, and nothing was sent.
    stage.server_counts("TCPTimeouts", 1)?;
    stage.judged(End::Client, CONNECTED)?;
    stage.judged(End::Server, EMBRYONIC)?;
    let connection = stage.accepted(&listener, client)?;
    stage.keep([listener]);
    connection.close()
}
