//! Idle connections whose peer falls silent.
//! It must never wait for a time: that a timer has run out is what the kernel's counters say.

use super::{
    Count, EVERYWHERE, Figure, HEALTHY, IDLE_GUARDED, IDLE_UNGUARDED, QUIET, Scenario, Side,
    V4_ONLY,
};
use crate::{
    Error, Family,
    judgement::{Due, End, suspect},
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

/// A client that keepalive guards, and that must be a suspect before it dies, `seconds` after it was
/// last heard. Of its first probe it may be too early to say that nobody answers.
const fn suspected(seconds: u64) -> [Due; 3] {
    [
        End::Client.is(suspect("keepalive")).found_within(seconds),
        End::Client.may_be(IDLE_GUARDED).found_within(seconds),
        End::Client.may_be(HEALTHY).found_within(seconds),
    ]
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 6,
        variant: "",
        offset: 0,
        title: "idle, keepalive off, peer gone: nobody notices",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        judged: &[
            End::Client.is(IDLE_UNGUARDED).never_found(),
            End::Client.may_be(HEALTHY).never_found(),
        ],
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
        judged: &suspected(5 + 3 * 3),
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
        judged: &suspected(12),
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
        judged: &suspected(23),
        trigger: |stage| vanish(stage, keepalive(1, 11, 3).user_timeout(22)),
    },
    Scenario {
        number: 10,
        variant: "",
        offset: 0,
        // Of the table's two figures the shorter one: 60 s would take 67 s.
        title: "idle, keepalive 1/11/3, user timeout 30 s",
        forms: V4_ONLY,
        client: idle_death(
            &[
                ("TCPKeepAlive", Figure::Exactly(3)),
                ("TCPAbortOnTimeout", Figure::Exactly(1)),
                ("OutRsts", Figure::Exactly(1)),
                ("EstabResets", Figure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", Count::Exactly(3)),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: QUIET,
        judged: &suspected(34),
        trigger: |stage| vanish(stage, keepalive(1, 11, 3).user_timeout(30)),
    },
    Scenario {
        number: 20,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/4/3, own firewall drops the probes",
        forms: V4_ONLY,
        client: THREE_PROBES,
        server: QUIET,
        judged: &suspected(1 + 4 * 3),
        trigger: |stage| {
            idle_until_dead(stage, keepalive(1, 4, 3), |stage| {
                stage.pair.drop_at_client()
            })
        },
    },
    Scenario {
        number: 20,
        variant: "blackhole",
        offset: 5,
        title: "idle, keepalive 1/4/3, own route is a blackhole",
        forms: V4_ONLY,
        client: THREE_PROBES,
        server: QUIET,
        judged: &suspected(1 + 4 * 3),
        trigger: |stage| {
            idle_until_dead(stage, keepalive(1, 4, 3), |stage| {
                stage.pair.blackhole_at_client()
            })
        },
    },
];

fn unguarded(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Watch::default())?;
    stage.keep([connection.client, connection.server]);
    stage.pair.unplug_server()?;
    stage.judged(End::Client, IDLE_UNGUARDED)
}

/// An idle connection whose peer's cable is cut. Over IPv6 that would take the client's routes with
/// it, which is another scenario: there the packets vanish at the peer.
fn unplug(stage: &Stage, watch: Watch) -> Result<(), Error> {
    idle_until_dead(stage, watch, |stage| match stage.family() {
        Family::Ipv4 | Family::Mapped => stage.pair.unplug_server(),
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
    stage.client_counts("TCPKeepAlive", 1)?;
    stage.judged(End::Client, suspect("keepalive"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
