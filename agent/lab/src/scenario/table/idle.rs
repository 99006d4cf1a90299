//! Idle connections whose peer falls silent.

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, QUIET, SILENT, SideExpectation},
        liveness::{HEALTHY, IDLE_GUARDED, IDLE_UNGUARDED, LivenessRule, suspect},
    },
    net::{
        end::End,
        open::{Timeouts, keepalive},
    },
    observe::capture,
    scenario::{
        definition::{IPV6, OVER_IPV4, Scenario, V4_ONLY},
        stage::Stage,
    },
};

const ONE: AgentFigure = AgentFigure::Exactly(1);

/// An idle connection that keepalive ended: one RST was sent into the silence.
const fn idle_death(
    kernel: &'static [(&'static str, KernelFigure)],
    agent: &'static [(&'static str, AgentFigure)],
) -> SideExpectation {
    SideExpectation { kernel, agent }
}

const AFTER_THREE_PROBES: &[(&str, AgentFigure)] = &[
    ("keepalive_probes", AgentFigure::Exactly(3)),
    ("deaths{keepalive}", ONE),
    ("resets_sent{tcp_keepalive_timeout}", ONE),
];

/// The kernel counts a RST that its own firewall or routes stop.
const CUT_OFF: SideExpectation = idle_death(
    &[
        ("TCPKeepAlive", KernelFigure::Exactly(3)),
        ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
        ("OutRsts", KernelFigure::Exactly(1)),
        ("EstabResets", KernelFigure::Exactly(1)),
        (capture::RST_SENT, KernelFigure::Exactly(0)),
        (capture::ACK_SENT, KernelFigure::Exactly(1)),
    ],
    AFTER_THREE_PROBES,
);

/// A client that keepalive guards, and that must be a suspect before it dies, `seconds` after it was
/// last heard. Of its first probe it may be too early to say that nobody answers.
const fn suspected(seconds: u64) -> [LivenessRule; 3] {
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
        liveness: &[
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
        forms: OVER_IPV4,
        // A link without carrier takes no RST, once that was noticed.
        client: idle_death(
            &[
                ("TCPKeepAlive", KernelFigure::Exactly(3)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(0)),
            ],
            AFTER_THREE_PROBES,
        ),
        server: QUIET,
        liveness: &suspected(5 + 3 * 3),
        trigger: |stage| {
            idle_until_dead(stage, keepalive(5, 3, 3), |stage| {
                stage.pair.unplug_server()
            })
        },
    },
    // A cut cable would take the client's routes with it, which is another scenario.
    Scenario {
        number: 7,
        variant: "ipv6",
        offset: 5,
        title: "idle, keepalive 5/3/3, packets vanish at the peer",
        forms: &[IPV6],
        client: idle_death(
            &[
                ("TCPKeepAlive", KernelFigure::Exactly(3)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            AFTER_THREE_PROBES,
        ),
        server: SILENT,
        liveness: &suspected(5 + 3 * 3),
        trigger: |stage| vanish(stage, keepalive(5, 3, 3)),
    },
    Scenario {
        number: 8,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/11/3, user timeout 5 s",
        forms: V4_ONLY,
        client: idle_death(
            &[
                ("TCPKeepAlive", KernelFigure::Exactly(1)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", ONE),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: SILENT,
        liveness: &suspected(12),
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
                ("TCPKeepAlive", KernelFigure::Exactly(2)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", AgentFigure::Exactly(2)),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: SILENT,
        liveness: &suspected(23),
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
                ("TCPKeepAlive", KernelFigure::Exactly(3)),
                ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
                ("OutRsts", KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
            ],
            &[
                ("keepalive_probes", AgentFigure::Exactly(3)),
                ("deaths{user_timeout}", ONE),
                ("resets_sent{tcp_keepalive_timeout}", ONE),
            ],
        ),
        server: SILENT,
        liveness: &suspected(34),
        trigger: |stage| vanish(stage, keepalive(1, 11, 3).user_timeout(30)),
    },
    Scenario {
        number: 20,
        variant: "",
        offset: 0,
        title: "idle, keepalive 1/4/3, own firewall drops the probes",
        forms: V4_ONLY,
        client: CUT_OFF,
        server: QUIET,
        liveness: &suspected(1 + 4 * 3),
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
        client: CUT_OFF,
        server: QUIET,
        liveness: &suspected(1 + 4 * 3),
        trigger: |stage| {
            idle_until_dead(stage, keepalive(1, 4, 3), |stage| {
                stage.pair.blackhole_at_client()
            })
        },
    },
];

fn unguarded(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    stage.keep([connection.client, connection.server]);
    stage.pair.unplug_server()?;
    stage.await_liveness(End::Client, IDLE_UNGUARDED)
}

/// An idle connection whose packets vanish at the peer. The client's end of a cut cable refuses
/// packets until the kernel has noticed the cut, which may take a second: a probe that it refuses is
/// sent again half a second later and counted twice.
fn vanish(stage: &Stage, watch: Timeouts) -> Result<(), Error> {
    idle_until_dead(stage, watch, |stage| stage.pair.drop_at_server())
}

fn idle_until_dead(
    stage: &Stage,
    watch: Timeouts,
    cut: fn(&Stage) -> Result<(), Error>,
) -> Result<(), Error> {
    let connection = stage.connect(watch)?;
    cut(stage)?;
    connection.enable_keepalive()?;
    stage.keep([connection.client, connection.server]);
    stage.client_counts("TCPKeepAlive", 1)?;
    stage.await_liveness(End::Client, suspect("keepalive"))?;
    stage.client_counts("TCPAbortOnTimeout", 1).map(drop)
}
