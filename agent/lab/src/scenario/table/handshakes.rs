//! Connections that do not get past their handshake. SYNs are not counted: how many go out in a given time
//! depends on the kernel (tcp_syn_linear_timeouts, 6.5 and later).

use socket2::Socket;

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SideExpectation},
        liveness::{EMBRYONIC, ExpectedLiveness, any_of},
    },
    net::{
        end::End,
        open::{Accept, Timeouts, keepalive},
        pair::Pair,
    },
    observe::sockets::SYN_RECV,
    scenario::{
        definition::{Scenario, V4_ONLY},
        stage::Stage,
    },
};

/// The table has 6: two minutes. With 3 the SYN times out after 15 s, or 19 s from 6.5 on.
const SYN_RETRIES: &str = "3";

/// The table has 5: a minute. With 3 the SYN-ACK is given up 1 + 2 + 4 + 8 s after it was sent.
const SYNACK_RETRIES: &str = "3";

/// A client whose SYN timed out.
const UNHEARD: SideExpectation = SideExpectation {
    kernel: &[
        ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
        ("AttemptFails", KernelFigure::Exactly(1)),
        ("TCPTimeouts", KernelFigure::AtLeast(2)),
    ],
    agent: &[("deaths{connect_timeout}", AgentFigure::Exactly(1))],
};

/// A server whose request socket ran out of retries: nothing dies by the kernel's counters, but the kernel
/// counts each of its timeouts, the last one included.
const EXPIRED: SideExpectation = SideExpectation {
    kernel: &[("TCPTimeouts", KernelFigure::Exactly(4))],
    agent: &[("deaths{connect_timeout}", AgentFigure::Exactly(1))],
};

/// A client that has done its part: no data, no keepalive.
const CONNECTED: ExpectedLiveness = any_of(&["healthy", "idle_unguarded"]);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 1,
        variant: "",
        offset: 0,
        title: "SYN sent, tcp_syn_retries = 3, nobody answers",
        forms: V4_ONLY,
        client: UNHEARD,
        server: QUIET,
        liveness: &[End::Client.is(EMBRYONIC)],
        trigger: |stage| {
            stage
                .pair
                .client
                .sysctl("ipv4/tcp_syn_retries", SYN_RETRIES)?;
            unheard(stage, Timeouts::default())
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
        liveness: &[End::Client.is(EMBRYONIC)],
        trigger: |stage| unheard(stage, keepalive(1, 1, 3).user_timeout(12)),
    },
    Scenario {
        number: 3,
        variant: "",
        offset: 0,
        title: "SYN received, tcp_synack_retries = 3, client gone",
        forms: V4_ONLY,
        client: ABANDONING,
        server: EXPIRED,
        liveness: &[End::Server.is(EMBRYONIC)],
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
        liveness: &[
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
        server: SideExpectation {
            kernel: &[
                ("TCPTimeouts", KernelFigure::AtLeast(1)),
                ("TCPSynRetrans", KernelFigure::Exactly(0)),
            ],
            agent: &[],
        },
        liveness: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(EMBRYONIC.because("waiting for its data")),
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
        client: ABANDONING,
        server: SideExpectation {
            kernel: &[("TCPAbortOnTimeout", KernelFigure::Exactly(1))],
            agent: &[("deaths{connect_timeout}", AgentFigure::Exactly(1))],
        },
        liveness: &[End::Server.is(EMBRYONIC)],
        trigger: fast_open,
    },
    Scenario {
        number: ABANDONED,
        variant: "",
        offset: 0,
        title: "SYN received, client gone, listener closed",
        forms: V4_ONLY,
        client: ABANDONING,
        server: SideExpectation {
            kernel: &[],
            agent: &[("deaths{orphan}", AgentFigure::Exactly(1))],
        },
        liveness: &[End::Server.may_be(EMBRYONIC)],
        trigger: abandoned,
    },
];

/// A client that gives up at once: where a slow machine has sent its SYN again before, it dies of that.
const ABANDONING: SideExpectation = SideExpectation {
    kernel: &[],
    agent: &[(
        "deaths{connect_abandoned}",
        AgentFigure::KernelAny("TCPTimeouts"),
    )],
};

const FAST_OPEN: u16 = 27;
const ABANDONED: u16 = 28;

fn unheard(stage: &Stage, watch: Timeouts) -> Result<(), Error> {
    stage.pair.drop_at_server()?;
    stage.keep([stage.send_syn(watch)?]);
    stage.await_liveness(End::Client, EMBRYONIC)?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// The client receives no SYN-ACK and closes its socket: it sends nothing after its SYN.
fn half_heard(stage: &Stage) -> Result<(), Error> {
    stage
        .pair
        .server
        .sysctl("ipv4/tcp_synack_retries", SYNACK_RETRIES)?;
    stage.keep([stage.listen(Accept::AtOnce)?]);
    stage.pair.drop_inbound_at_client()?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Server, SYN_RECV)?;
    drop(client);
    stage.await_liveness(End::Server, EMBRYONIC)?;
    stage.gone(End::Server)
}

/// net.ipv4.tcp_fastopen (ip-sysctl): clients need no cookie.
const CLIENTS_WITHOUT_COOKIE: &str = "5";
/// Servers ask for none, and every listener takes part.
const SERVERS_WITHOUT_COOKIE: &str = "1538";

fn fast_open(stage: &Stage) -> Result<(), Error> {
    stage.pair.server.sysctl("ipv4/tcp_synack_retries", "1")?;
    stage.pair.drop_inbound_at_client()?;
    drop(begin_fast_open(stage)?);
    stage.await_liveness(End::Server, EMBRYONIC)?;
    stage.server_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// A client whose SYN has brought data, and the server's child of it, in SYN_RECV.
pub(super) fn begin_fast_open(stage: &Stage) -> Result<Socket, Error> {
    let Pair { client, server, .. } = &stage.pair;
    client.sysctl("ipv4/tcp_fastopen", CLIENTS_WITHOUT_COOKIE)?;
    server.sysctl("ipv4/tcp_fastopen", SERVERS_WITHOUT_COOKIE)?;
    stage.keep([stage.listen(Accept::AtOnce)?]);
    let client = stage.send_syn_with_data()?;
    stage.reaches(End::Server, SYN_RECV)?;
    Ok(client)
}

fn abandoned(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    stage.pair.drop_inbound_at_client()?;
    let client = stage.send_syn(Timeouts::default())?;
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
    stage.keep([stage.send_syn(Timeouts::default())?]);
    stage.reaches(End::Client, "established")?;
    stage.await_liveness(End::Client, CONNECTED)?;
    stage.await_liveness(End::Server, EMBRYONIC)?;
    stage.gone(End::Server)
}

fn deferred(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::WithData)?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Client, "established")?;
    // The SYN-ACK's timer has fired, and nothing was sent.
    stage.server_counts("TCPTimeouts", 1)?;
    stage.await_liveness(End::Client, CONNECTED)?;
    stage.await_liveness(End::Server, EMBRYONIC)?;
    let connection = stage.accepted(&listener, client)?;
    stage.keep([listener]);
    connection.close()
}
