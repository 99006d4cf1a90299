//! Connections whose peer falls silent.
//! It must never wait for a time: that a timer has run out is what the kernel's counters say.

use std::io::Write;

use super::{Count, EVERYWHERE, Figure, QUIET, Scenario, Side, V4_ONLY};
use crate::{
    Error, Family,
    stage::{Stage, Watch, keepalive},
};

const ONE: Count = Count::Exactly(1);

/// An idle connection that keepalive ended: one RST was sent into the silence.
const fn idle_death(
    kernel: &'static [(&'static str, Figure)],
    agent: &'static [(&'static str, Count)],
) -> Side {
    Side { kernel, agent }
}

const THREE_PROBES: Side = idle_death(
    &[
        ("TCPKeepAlive", Figure::Exactly(3)),
        ("TCPAbortOnTimeout", Figure::Exactly(1)),
        ("OutRsts", Figure::Exactly(1)),
        ("EstabResets", Figure::Exactly(1)),
    ],
    &[
        ("keepalive_probes", Count::Exactly(3)),
        ("deaths{keepalive}", ONE),
        ("resets_sent{tcp_keepalive_timeout}", ONE),
    ],
);

const ZERO_WINDOW: &[(&str, Figure)] = &[
    ("TCPWinProbe", Figure::AtLeast(2)),
    ("TCPAbortOnTimeout", Figure::Exactly(1)),
    ("EstabResets", Figure::Exactly(1)),
];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 6,
        variant: "",
        offset: 0,
        title: "idle, keepalive off, peer gone: nobody notices",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        trigger: unguarded,
    },
    Scenario {
        number: 7,
        variant: "",
        offset: 0,
        title: "idle, keepalive 5/3/3, peer gone",
        forms: EVERYWHERE,
        client: THREE_PROBES,
        server: QUIET,
        trigger: |stage| unplug(stage, keepalive(5, 3, 3)),
    },
    Scenario {
        number: 8,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/11/3, user timeout 5 s",
        forms: V4_ONLY,
        client: idle_death(
            &[
                ("TCPKeepAlive", Figure::Exactly(1)),
                ("TCPAbortOnTimeout", Figure::Exactly(1)),
                ("OutRsts", Figure::Exactly(1)),
                ("EstabResets", Figure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", ONE),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: QUIET,
        trigger: |stage| vanish(stage, keepalive(1, 11, 3).user_timeout(5)),
    },
    Scenario {
        number: 9,
        variant: "",
        offset: 0,
        // The table has 12.5 s: half a second after a firing, which a slow machine may miss.
        title: "idle, keepalive 1/11/3, user timeout 22 s",
        forms: V4_ONLY,
        client: idle_death(
            &[
                ("TCPKeepAlive", Figure::Exactly(2)),
                ("TCPAbortOnTimeout", Figure::Exactly(1)),
                ("OutRsts", Figure::Exactly(1)),
                ("EstabResets", Figure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", Count::Exactly(2)),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: QUIET,
        trigger: |stage| vanish(stage, keepalive(1, 11, 3).user_timeout(22)),
    },
    Scenario {
        number: 11,
        variant: "",
        offset: 0,
        title: "data in flight, tcp_retries2 = 5, peer gone",
        forms: V4_ONLY,
        client: Side {
            kernel: &[
                ("TCPTimeouts", Figure::AtLeast(2)),
                ("TCPAbortOnTimeout", Figure::Exactly(1)),
                ("EstabResets", Figure::Exactly(1)),
            ],
            agent: &[("deaths{retransmission}", ONE)],
        },
        server: QUIET,
        trigger: in_flight,
    },
    Scenario {
        number: 14,
        variant: "",
        offset: 0,
        title: "zero window, tcp_retries2 = 3, then peer gone",
        forms: V4_ONLY,
        client: Side {
            kernel: ZERO_WINDOW,
            agent: &[
                ("window_probes", Count::Kernel("TCPWinProbe")),
                ("window_probes_answered", Count::Open),
                ("retransmission_timeouts", Count::Open),
                ("deaths{window_probe}", ONE),
            ],
        },
        server: QUIET,
        trigger: |stage| {
            // The table has 5: six probes with doubling pauses, minutes where round trips are slow.
            stage.pair.client.sysctl("ipv4/tcp_retries2", "3")?;
            vanish_full(stage, Watch::default())
        },
    },
    Scenario {
        number: 14,
        variant: "user-timeout",
        offset: 5,
        title: "zero window, user timeout 8 s, then peer gone",
        forms: V4_ONLY,
        client: Side {
            kernel: ZERO_WINDOW,
            agent: &[
                ("window_probes", Count::Kernel("TCPWinProbe")),
                ("window_probes_answered", Count::Open),
                ("retransmission_timeouts", Count::Open),
                ("deaths{user_timeout}", ONE),
            ],
        },
        server: QUIET,
        trigger: |stage| vanish_full(stage, Watch::default().user_timeout(8)),
    },
    Scenario {
        number: 20,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/1/3, own firewall drops the probes",
        forms: V4_ONLY,
        client: THREE_PROBES,
        server: QUIET,
        trigger: |stage| {
            idle_until_dead(stage, keepalive(1, 1, 3), |stage| {
                stage.pair.drop_at_client()
            })
        },
    },
    Scenario {
        number: 20,
        variant: "blackhole",
        offset: 5,
        title: "idle, keepalive 1/1/3, own route is a blackhole",
        forms: V4_ONLY,
        client: THREE_PROBES,
        server: QUIET,
        trigger: |stage| {
            idle_until_dead(stage, keepalive(1, 1, 3), |stage| {
                stage.pair.blackhole_at_client()
            })
        },
    },
];

fn unguarded(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default())?;
    stage.keep([connection.client, connection.server]);
    stage.pair.unplug_server()
}

/// An idle connection whose peer's cable is cut. Over IPv6 that would take the client's routes with
/// it, which is another scenario: there the packets vanish at the peer.
fn unplug(stage: &Stage, watch: Watch) -> Result<(), Error> {
    idle_until_dead(stage, watch, |stage| match stage.family() {
        Family::Ipv4 => stage.pair.unplug_server(),
        Family::Ipv6 => stage.pair.drop_at_server(),
    })
}

/// An idle connection whose packets vanish at the peer. The client's end of a cut cable refuses
/// packets until the kernel has noticed the cut, which may take a second: a probe that it refuses is
/// sent again half a second later and counted twice.
fn vanish(stage: &Stage, watch: Watch) -> Result<(), Error> {
    idle_until_dead(stage, watch, |stage| stage.pair.drop_at_server())
}

fn idle_until_dead(
    stage: &Stage,
    watch: Watch,
    cut: fn(&Stage) -> Result<(), Error>,
) -> Result<(), Error> {
    let connection = stage.connect(watch)?;
    cut(stage)?;
    connection.guard()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn in_flight(stage: &Stage) -> Result<(), Error> {
    stage.pair.client.sysctl("ipv4/tcp_retries2", "5")?;
    // Keepalive never engages while data is in flight.
    let connection = stage.connect(keepalive(1, 1, 3))?;
    stage.pair.drop_at_server()?;
    (&connection.client)
        .write_all(b"x")
        .map_err(|source| Error::socket("write to the client's socket", source))?;
    connection.guard()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}

fn vanish_full(stage: &Stage, watch: Watch) -> Result<(), Error> {
    let connection = stage.connect(watch)?;
    stage.fill(&connection, 1)?;
    stage.pair.drop_at_server()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
