//! Hosts under pressure: SYN cookies, and connects for which no local port is left. The kernel's truth is
//! SyncookiesSent, SyncookiesRecv and SyncookiesFailed, what connect() returns, and its own list of sockets.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, SideExpectation},
        liveness::{ExpectedLiveness, LivenessRule, UNACCEPTED, any_of},
    },
    net::{
        end::End,
        open::{Accept, Timeouts, keepalive},
    },
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario},
        stage::{SocketPair, Stage},
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);
/// No tracepoint tells of them.
const COOKIE_HOOK: &str = "tcp_get_cookie_sock";
const SENT: (&str, AgentFigure) = (
    "listener_syn_cookies_sent",
    AgentFigure::Hooked(&[COOKIE_HOOK], &AgentFigure::Exactly(1)),
);
const VALIDATED: (&str, AgentFigure) = (
    "listener_syn_cookies_validated",
    AgentFigure::Hooked(&[COOKIE_HOOK], &AgentFigure::Exactly(1)),
);

/// A connection at rest, for however long.
const AT_REST: ExpectedLiveness = any_of(&["healthy", "idle_unguarded", "idle_guarded"]);
const MAY_REST: &[LivenessRule] = &[End::Client.may_be(AT_REST), End::Server.may_be(AT_REST)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 61,
        variant: "",
        offset: 0,
        title: "a SYN cookie makes a connection, which waits, is accepted, and is reset by its client",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            agent: &[("resets_sent{tcp_state}", ONE), ("deaths{reset_sent}", ONE)],
        },
        server: SideExpectation {
            kernel: &[
                ("SyncookiesSent", KernelFigure::Exactly(1)),
                ("SyncookiesRecv", KernelFigure::Exactly(1)),
                ("SyncookiesFailed", KernelFigure::Exactly(0)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_RECEIVED, KernelFigure::Exactly(1)),
            ],
            agent: &[
                SENT,
                VALIDATED,
                ("resets_received", ONE),
                ("deaths{reset_received}", ONE),
            ],
        },
        liveness: &[
            End::Client.is(AT_REST).never_found(),
            End::Server.is(UNACCEPTED).never_found(),
            End::Server.is(AT_REST).never_found(),
        ],
        trigger: cookie,
    },
    Scenario {
        number: 61,
        variant: "invalid",
        offset: 2,
        title: "a keepalive probe reaches a listener that sends SYN cookies, and has none",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[
                ("TCPKeepAlive", KernelFigure::AtLeast(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_RECEIVED, KernelFigure::Exactly(2)),
            ],
            agent: &[
                ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
                ("resets_received", ONE),
                ("deaths{reset_received}", ONE),
            ],
        },
        server: SideExpectation {
            kernel: &[
                ("SyncookiesSent", KernelFigure::Exactly(1)),
                ("SyncookiesRecv", KernelFigure::Exactly(1)),
                ("SyncookiesFailed", KernelFigure::AtLeast(1)),
                ("OutRsts", KernelFigure::Exactly(2)),
                (capture::RST_SENT, KernelFigure::Exactly(2)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[
                SENT,
                VALIDATED,
                ("resets_sent{tcp_state}", ONE),
                ("resets_sent{tcp_flags}", AgentFigure::Open),
                ("resets_sent{not_specified}", AgentFigure::AtMost("OutRsts")),
                ("resets_sent{unknown}", AgentFigure::Open),
                ("deaths{administrative}", ONE),
            ],
        },
        liveness: MAY_REST,
        trigger: no_cookie,
    },
    Scenario {
        number: 62,
        variant: "",
        offset: 0,
        title: "ten local ports: connections and TIME_WAIT take them all, connect() finds none",
        forms: BOTH,
        client: SideExpectation {
            kernel: &[(capture::RST_RECEIVED, KernelFigure::AtLeast(0))],
            agent: &[("connects_without_port", AgentFigure::Exactly(FAILED))],
        },
        // On a slow machine a SYN-ACK is sent twice; the second meets TIME_WAIT, whose ACK finds nobody. How many
        // resets there may be is checked when it was played.
        server: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::AtLeast(0)),
                (capture::RST_SENT, KernelFigure::AtLeast(0)),
            ],
            agent: &[
                ("resets_sent{not_specified}", AgentFigure::AtMost("OutRsts")),
                ("resets_sent{unknown}", AgentFigure::AtMost("OutRsts")),
            ],
        },
        liveness: &[],
        trigger: exhausted,
    },
];

/// Cookies for every SYN (ip-sysctl.rst).
fn always_cookies(stage: &Stage) -> Result<(), Error> {
    stage.pair.server.sysctl("ipv4/tcp_syncookies", "2")
}

fn cookie(stage: &Stage) -> Result<(), Error> {
    always_cookies(stage)?;
    let listener = stage.listen(Accept::AtOnce)?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Server, "established")?;
    stage.await_liveness(End::Server, UNACCEPTED)?;
    stage.await_liveness(End::Client, AT_REST)?;
    let SocketPair { client, server } = stage.accepted(&listener, client)?;
    stage.await_liveness(End::Server, AT_REST)?;
    client
        .set_linger(Some(Duration::ZERO))
        .map_err(|source| Error::socket("set SO_LINGER to 0", source))?;
    drop(client);
    stage.keep([listener, server]);
    stage.server_counts("EstabResets", 1).map(drop)
}

/// More than there are values of MSS in a cookie.
const SOME: &[u8] = b"12345678";

fn no_cookie(stage: &Stage) -> Result<(), Error> {
    always_cookies(stage)?;
    let connection = stage.connect(keepalive(1, 1, 9))?;
    // Or the probe would bring the cookie back with an MSS one step larger, which is valid unless it is the
    // largest (`check_tcp_syn_cookie`, `msstab`).
    (&connection.client)
        .write_all(SOME)
        .and_then(|()| (&connection.server).read_exact(&mut [0; SOME.len()]))
        .map_err(|source| Error::socket("send some bytes", source))?;
    // What is not acknowledged would be sent again, and reach the listener before a probe.
    connection.await_in_flight("the acknowledgement of some bytes", |segments| {
        segments == 0
    })?;
    stage.forgotten_by_server(connection)
}

/// The range of local ports, and how many it has.
const RANGE: &str = "40000 40009";
const PORTS: usize = 10;
/// Connects that find none.
const FAILED: u64 = 6;

fn exhausted(stage: &Stage) -> Result<(), Error> {
    stage
        .pair
        .client
        .sysctl("ipv4/ip_local_port_range", RANGE)?;
    // No reset ends TIME_WAIT (RFC 1337).
    stage.pair.client.sysctl("ipv4/tcp_rfc1337", "1")?;
    let listener = stage.listen(Accept::AtOnce)?;
    let (waiting, kept) = (PORTS / 2, PORTS - PORTS / 2);
    for _ in 0..waiting {
        // The client first: its end is the one that waits.
        stage.connect_from_any_port(&listener)?.close()?;
    }
    stage.await_ports_in_use(waiting, PORTS)?;
    for _ in 0..kept {
        let SocketPair { client, server } = stage.connect_from_any_port(&listener)?;
        stage.keep([client, server]);
    }
    stage.await_ports_in_use(PORTS, PORTS)?;
    for _ in 0..FAILED {
        stage.finds_no_port()?;
    }
    let server = stage.pair.server.counters()?;
    let counts = ["TCPTimeouts", "OutRsts", capture::RST_SENT];
    let [again, resets, captured] = counts.map(|counter| server.get(counter));
    if resets.max(captured) > again {
        stage.fault(format!(
            "{resets} resets, {captured} captured: more than the {again} SYN-ACKs that were sent again"
        ));
    }
    stage.keep([listener]);
    Ok(())
}
