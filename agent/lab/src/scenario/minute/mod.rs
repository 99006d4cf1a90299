//! Connections that live on, whatever their path and their readers do to them: for a minute, an agent must find no
//! suspect among them, count no recovery, and every byte must arrive.
//!
//! Keepalive stays off where packets are lost: each lost probe is unanswered, and is heard of again with the next,
//! which is what recoveries by keepalive are there to show.

mod talk;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use talk::Pauses;

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, SideExpectation},
        liveness::{ExpectedLiveness, IDLE_GUARDED, LivenessRule, STALLED, ZERO_WINDOW, any_of},
    },
    net::{
        end::{ENDS, End},
        family::Family,
        open::{Accept, keepalive},
        path::Trouble,
    },
    scenario::{
        definition::{Scenario, ScenarioForm},
        stage::{ClientPlace, SocketPair, Stage},
    },
    wait::{self, Awaited},
};

/// Beyond those of the table.
const NUMBER: u16 = 70;

const FAR: &[ScenarioForm] = &[ScenarioForm {
    family: Family::Ipv4,
    place: ClientPlace::Far,
}];

/// Connections of each kind.
const FLOWS: u64 = 8;
/// On a slow machine a look takes seconds.
const LOOKS: u64 = 3 * FLOWS;

/// Keepalive of both ends, where there is any.
const WATCH: (u64, u64, u32) = (1, 1, 9);

/// Where time stands still for seconds nothing is sent for as long.
const AT_WORK: ExpectedLiveness = any_of(&["healthy", "idle_unguarded"]);
const GUARDED: ExpectedLiveness = any_of(&["healthy", "idle_guarded"]);

const AT_WORK_BOTH: &[LivenessRule] = &[
    End::Client.is(AT_WORK).looks(LOOKS),
    End::Server.is(AT_WORK).looks(LOOKS),
];

/// Each kind of trouble, with connections of its own.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        client: living(&[
            ("RetransSegs", KernelFigure::AtLeast(5 * FLOWS)),
            ("TCPTimeouts", KernelFigure::AtLeast(FLOWS)),
        ]),
        server: living(&[("TCPTimeouts", KernelFigure::AtLeast(FLOWS))]),
        liveness: AT_WORK_BOTH,
        ..far(
            "loss",
            0,
            "eight living connections, every tenth packet lost each way",
            lossy,
        )
    },
    Scenario {
        client: SideExpectation {
            kernel: &[("TCPWinProbe", KernelFigure::AtLeast(5 * FLOWS))],
            agent: &[
                ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
                ("window_probes_answered", AgentFigure::Open),
                ("retransmission_timeouts", AgentFigure::Open),
            ],
        },
        // Probes that were not answered.
        server: living(&[("TCPACKSkippedSeq", KernelFigure::AtLeast(FLOWS))]),
        liveness: &[
            End::Client.is(ZERO_WINDOW).looks(LOOKS),
            End::Client.may_be(AT_WORK),
            End::Server.is(AT_WORK).looks(LOOKS),
        ],
        ..far(
            "pauses",
            1,
            "eight living connections, readers that pause for 3 s",
            paused,
        )
    },
    Scenario {
        client: living(&[]),
        server: living(&[("TCPOFOQueue", KernelFigure::AtLeast(5 * FLOWS))]),
        liveness: AT_WORK_BOTH,
        ..far(
            "order",
            2,
            "eight living connections, every fifth packet overtaken by three",
            reordered,
        )
    },
    Scenario {
        client: living(&[("TCPTimeouts", KernelFigure::AtLeast(3 * FLOWS))]),
        server: living(&[]),
        liveness: &[
            End::Client.is(STALLED).looks(FLOWS),
            End::Client.may_be(AT_WORK),
            End::Server.is(AT_WORK).looks(LOOKS),
        ],
        ..far(
            "mtu",
            3,
            "eight living connections, the path drops large packets for 5 s of 10",
            small_mtu,
        )
    },
    Scenario {
        client: PROBING,
        server: PROBING,
        liveness: &[
            End::Client.is(IDLE_GUARDED).looks(LOOKS),
            End::Server.is(IDLE_GUARDED).looks(LOOKS),
            End::Client.may_be(GUARDED),
            End::Server.may_be(GUARDED),
        ],
        ..far(
            "keepalive",
            4,
            "eight living connections, idle, keepalive 1/1/9 at both ends",
            probed,
        )
    },
];

const fn living(kernel: &'static [(&'static str, KernelFigure)]) -> SideExpectation {
    SideExpectation { kernel, agent: &[] }
}

const PROBING: SideExpectation = SideExpectation {
    kernel: &[("TCPKeepAlive", KernelFigure::AtLeast(5 * FLOWS))],
    agent: &[
        ("keepalive_probes", AgentFigure::Kernel("TCPKeepAlive")),
        ("keepalive_probes_answered", AgentFigure::Open),
    ],
};

const fn far(
    variant: &'static str,
    offset: u16,
    title: &'static str,
    trigger: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario {
        forms: FAR,
        ..Scenario::new(NUMBER, variant, offset, title, trigger)
    }
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::socket(what, source)
}

/// What a connection's one end sends.
type Blocks = (&'static [usize], Duration);

/// What is done to eight connections.
struct Kind {
    trouble: Trouble,
    /// For how long of how long there is trouble; all the time without.
    by_turns: Option<(Duration, Duration)>,
    client: Option<Blocks>,
    server: Option<Blocks>,
    /// For how long the server reads, and then does not.
    pauses: Option<(Duration, Duration)>,
}

fn lossy(stage: &Stage) -> Result<(), Error> {
    // Without tail-loss probes it is the timeout that finds a lost end.
    for host in stage.hosts() {
        host.sysctl("ipv4/tcp_early_retrans", "0")?;
    }
    let kind = Kind {
        trouble: Trouble::Loss,
        by_turns: None,
        client: Some((&[500, 500, 20_000], millis(60))),
        server: Some((&[300], millis(70))),
        pauses: None,
    };
    play(stage, &connect(stage)?, &kind)
}

fn paused(stage: &Stage) -> Result<(), Error> {
    // Or the buffer would grow until it holds what comes while its reader pauses.
    stage
        .pair
        .server
        .sysctl("ipv4/tcp_rmem", "4096 32768 32768")?;
    let kind = Kind {
        trouble: Trouble::None,
        by_turns: None,
        // More than fits into a window while its reader pauses.
        client: Some((&[60_000], millis(50))),
        server: None,
        pauses: Some((millis(1000), millis(3000))),
    };
    play(stage, &connect(stage)?, &kind)
}

fn reordered(stage: &Stage) -> Result<(), Error> {
    let kind = Kind {
        trouble: Trouble::Reorder,
        by_turns: None,
        client: Some((&[30_000], millis(60))),
        server: Some((&[10_000], millis(70))),
        pauses: None,
    };
    play(stage, &connect(stage)?, &kind)
}

fn small_mtu(stage: &Stage) -> Result<(), Error> {
    let kind = Kind {
        trouble: Trouble::SmallMtu,
        // Longer without than the retransmission timeout grows to with it.
        by_turns: Some((millis(5000), millis(10_000))),
        client: Some((&[20_000], millis(500))),
        server: Some((&[10], millis(300))),
        pauses: None,
    };
    play(stage, &connect(stage)?, &kind)
}

fn probed(stage: &Stage) -> Result<(), Error> {
    let kind = Kind {
        trouble: Trouble::None,
        by_turns: None,
        client: None,
        server: None,
        pauses: None,
    };
    let flows = connect(stage)?;
    let (idle, interval, probes) = WATCH;
    let switch = |is_on: bool| {
        let ends = flows.iter().flat_map(|flow| [&flow.client, &flow.server]);
        let mut ends = ends.map(|end| {
            keepalive(idle, interval, probes).prepare(end)?;
            end.set_keepalive(is_on)
        });
        ends.try_for_each(|done| done)
            .map_err(failed("switch SO_KEEPALIVE"))
    };
    switch(true)?;
    let played = play(stage, &flows, &kind);
    // Nothing happens any more when the counts are compared.
    switch(false)?;
    played
}

fn connect(stage: &Stage) -> Result<Vec<SocketPair>, Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    let flows = (0..FLOWS).map(|_| stage.connect_from_any_port(&listener));
    let flows = flows.collect::<Result<Vec<_>, _>>()?;
    stage.keep([listener]);
    for flow in &flows {
        for end in [&flow.client, &flow.server] {
            let kept = end.try_clone().map_err(failed("keep a socket"))?;
            stage.keep([kept]);
        }
    }
    Ok(flows)
}

fn play(stage: &Stage, flows: &[SocketPair], kind: &Kind) -> Result<(), Error> {
    let begun = Instant::now();
    let until = begun + stage.lasts();
    let path = stage.path()?;
    let pauses = kind.pauses.map(|(reads, pauses)| Pauses {
        reads,
        pauses,
        until,
    });
    thread::scope(|scope| {
        let mut talks = Vec::new();
        for SocketPair { client, server } in flows {
            for (from, to, blocks, pauses) in [
                (client, server, kind.client, pauses),
                (server, client, kind.server, None),
            ] {
                let Some((sizes, every)) = blocks else {
                    continue;
                };
                talks.push(scope.spawn(move || talk::send(from, sizes, every, until)));
                talks.push(scope.spawn(move || match talk::receive(to, pauses)? {
                    0 => Err(talk::other("nothing was sent".to_owned())),
                    _ => Ok(()),
                }));
            }
        }
        let watched = wait::until("the end of the living minute", stage.lasts() * 4, || {
            let now = begun.elapsed();
            let is_troubled = kind.by_turns.is_none_or(|(troubled, of)| {
                now.as_millis() % of.as_millis() < troubled.as_millis()
            });
            path.set(if is_troubled {
                kind.trouble
            } else {
                Trouble::None
            });
            for end in ENDS {
                stage.look_at_all(end)?;
            }
            Ok(if now >= stage.lasts() {
                Awaited::Done(())
            } else {
                Awaited::NotYet(String::new())
            })
        });
        // What is on its way arrives.
        path.set(Trouble::None);
        for talk in talks {
            let panicked = || Err(talk::other("a panic".to_owned()));
            let talked = talk.join().unwrap_or_else(|_| panicked());
            talked.map_err(failed("carry each byte of a living connection"))?;
        }
        watched
    })?;
    if kind.trouble != Trouble::None && path.troubled() < FLOWS {
        stage.fault(format!("the path troubled {} packets", path.troubled()));
    }
    Ok(())
}
