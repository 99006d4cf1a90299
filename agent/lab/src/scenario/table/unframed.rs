//! Beyond the table: deaths outside the connection's own timers, or under another timer than the cause's.

use std::{thread, time::Duration};

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, GIVEN_UP, KernelFigure, QUIET, SILENT, SideExpectation},
        liveness::{HEALTHY, IDLE_GUARDED, suspect},
    },
    net::{end::End, icmp::IcmpResponder, locked_socket::LockedSocket, open::Timeouts},
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario, V4_ONLY},
        stage::Stage,
        table::handshakes,
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// While a process holds its socket the kernel only marks the retransmission timer as due.
const DEFERRED: u16 = 29;
const SUBFLOW: u16 = 30;
/// ICMP lets the kernel retransmit at once (RFC 6069), or give up.
const BY_ICMP: u16 = 31;

const USER_TIMEOUT_S: u64 = 3;

const BY_USER_TIMEOUT: SideExpectation = SideExpectation {
    kernel: GIVEN_UP,
    agent: &[("deaths{user_timeout}", ONE)],
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: DEFERRED,
        variant: "",
        offset: 0,
        title: "data in flight, user timeout 3 s, peer gone; its process holds the socket meanwhile",
        forms: V4_ONLY,
        client: BY_USER_TIMEOUT,
        server: QUIET,
        liveness: &[
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        trigger: deferred,
    },
    Scenario {
        number: SUBFLOW,
        variant: "",
        offset: 0,
        title: "MPTCP, one subflow, idle, keepalive 1/1/3, peer gone",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[
                ("TCPKeepAlive", KernelFigure::Exactly(3)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("keepalive_probes", AgentFigure::Exactly(3)),
                ("deaths{keepalive}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        },
        server: SILENT,
        liveness: &[
            End::Client.may_be(suspect("keepalive")),
            End::Client.may_be(IDLE_GUARDED),
            End::Client.may_be(HEALTHY),
        ],
        trigger: subflow,
    },
    Scenario {
        number: BY_ICMP,
        variant: "",
        offset: 0,
        title: "data in flight, user timeout set late, peer gone; then ICMP: host unreachable",
        forms: V4_ONLY,
        client: BY_USER_TIMEOUT,
        server: QUIET,
        liveness: &[
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        trigger: by_icmp,
    },
    Scenario {
        number: 34,
        variant: "",
        offset: 0,
        title: "Fast Open child, its SYN-ACK answered by ICMP: host unreachable",
        forms: V4_ONLY,
        client: SideExpectation {
            kernel: &[(capture::UNREACHABLE_SENT, KernelFigure::Exactly(1))],
            agent: &[],
        },
        server: SideExpectation {
            kernel: &[
                ("AttemptFails", KernelFigure::Exactly(1)),
                (capture::UNREACHABLE_RECEIVED, KernelFigure::Exactly(1)),
            ],
            agent: &[("deaths{unreachable}", ONE)],
        },
        liveness: &[],
        trigger: fast_open_by_icmp,
    },
    Scenario {
        number: 36,
        variant: "",
        offset: 0,
        title: "data in flight, the peer's neighbour entry fails, tcp_retries2 = 4",
        forms: BOTH,
        client: SideExpectation {
            kernel: GIVEN_UP,
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        liveness: &[],
        trigger: neighbour_fails,
    },
];

fn deferred(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default().user_timeout(USER_TIMEOUT_S))?;
    stage.pair.drop_at_server()?;
    connection.send_byte()?;
    stage.client_counts("TCPTimeouts", 1)?;
    let locked = LockedSocket::new(&connection.client)?;
    // Nothing moves meanwhile, so there is nothing to wait for but time: the timeout runs out.
    thread::sleep(Duration::from_secs(USER_TIMEOUT_S + 1));
    locked.release()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn subflow(stage: &Stage) -> Result<(), Error> {
    for (name, value) in [
        ("ipv4/tcp_keepalive_time", "1"),
        ("ipv4/tcp_keepalive_intvl", "1"),
        ("ipv4/tcp_keepalive_probes", "3"),
    ] {
        stage.pair.client.sysctl(name, value)?;
    }
    let connection = stage.connect_multipath()?;
    stage.pair.drop_at_server()?;
    connection.enable_keepalive()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// After the fifth timeout the next is due in 6.4 s. ICMP takes back one doubling: from 3.2 s on, the
/// retransmission is overdue and happens inside the handling of ICMP, where the timeout is found to
/// have run out.
fn by_icmp(stage: &Stage) -> Result<(), Error> {
    const TIMEOUTS: u64 = 5;
    let connection = stage.connect(Timeouts::default())?;
    let icmp = stage.pair.server.run(IcmpResponder::tap)??;
    stage.pair.drop_at_server()?;
    connection.send_byte()?;
    stage.client_counts("TCPTimeouts", TIMEOUTS)?;
    connection
        .client
        .set_tcp_user_timeout(Some(Duration::from_secs(1)))
        .map_err(|source| Error::socket("set TCP_USER_TIMEOUT", source))?;
    thread::sleep(Duration::from_millis(4_500));
    icmp.answer_data()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn fast_open_by_icmp(stage: &Stage) -> Result<(), Error> {
    // The client must not give up before all is compared.
    stage.pair.client.sysctl("ipv4/tcp_syn_retries", "10")?;
    let icmp = stage.pair.client.run(IcmpResponder::tap)??;
    stage.pair.drop_inbound_at_client()?;
    stage.keep([handshakes::begin_fast_open(stage)?]);
    stage.pair.drop_at_server()?;
    icmp.answer_syn_ack()?;
    stage.server_counts("AttemptFails", 1).map(drop)
}

fn neighbour_fails(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "4")?;
    let connection = stage.connect(Timeouts::default())?;
    stage.pair.nobody_at_server()?;
    connection.send_byte()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
