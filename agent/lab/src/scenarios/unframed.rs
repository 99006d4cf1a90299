//! Beyond the table: deaths that no timer of the connection frames, or whose timer is another's.
//! It must never depend on how fast the machine is but where a span of time is the point.

use std::{thread, time::Duration};

use super::{Count, Figure, GIVEN_UP, HEALTHY, IDLE_GUARDED, QUIET, Scenario, Side, V4_ONLY};
use crate::{
    Error,
    judgement::{End, suspect},
    stage::{Locked, Stage, Watch, unreachable},
};

const ONE: Count = Count::Exactly(1);

/// While a process holds its socket the retransmission timer only leaves a note.
pub(super) const DEFERRED: u16 = 29;
const SUBFLOW: u16 = 30;
/// ICMP lets the kernel retransmit at once (RFC 6069), or give up.
pub(super) const BY_ICMP: u16 = 31;

const USER_TIMEOUT_S: u64 = 3;

const BY_USER_TIMEOUT: Side = Side {
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
        judged: &[
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
        client: Side {
            kernel: &[
                ("TCPKeepAlive", Figure::Exactly(3)),
                ("TCPAbortOnTimeout", Figure::Exactly(1)),
                ("OutRsts", Figure::Exactly(1)),
                ("EstabResets", Figure::Exactly(1)),
            ],
            agent: &[
                ("keepalive_probes", Count::Exactly(3)),
                ("deaths{keepalive}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        },
        server: QUIET,
        judged: &[
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
        judged: &[
            End::Client.may_be(suspect("retransmission")),
            End::Client.may_be(HEALTHY),
        ],
        trigger: by_icmp,
    },
];

fn deferred(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default().user_timeout(USER_TIMEOUT_S))?;
    stage.pair.drop_at_server()?;
    connection.speak()?;
    stage.client_counts("TCPTimeouts", 1)?;
    let locked = Locked::new(&connection.client)?;
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
    connection.guard()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

/// After the fifth timeout the next is due in 6.4 s. ICMP takes back one doubling: from 3.2 s on, the
/// retransmission is overdue and happens inside the handling of ICMP, where the timeout is found to
/// have run out.
fn by_icmp(stage: &Stage) -> Result<(), Error> {
    const TIMEOUTS: u64 = 5;
    let connection = stage.connect(Watch::default())?;
    let wire = stage.pair.server.run(unreachable::Wire::tap)??;
    stage.pair.drop_at_server()?;
    connection.speak()?;
    stage.client_counts("TCPTimeouts", TIMEOUTS)?;
    connection
        .client
        .set_tcp_user_timeout(Some(Duration::from_secs(1)))
        .map_err(|source| Error::socket("set TCP_USER_TIMEOUT", source))?;
    thread::sleep(Duration::from_millis(4_500));
    wire.answer()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
