//! Paths that lose what they carry, and carry the rest: their connections live.

use std::{
    io::{self, Read, Write},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;

use crate::{
    Error,
    classify::{
        expectations::{KernelFigure, SideExpectation},
        liveness::{ExpectedLiveness, HEALTHY, STALLED, any_of},
    },
    net::{
        end::{ENDS, End},
        open::{Accept, Timeouts},
    },
    observe::capture,
    scenario::{
        definition::{BOTH, Scenario, V4_ONLY},
        stage::{SocketPair, Stage},
    },
    wait::{self, Awaited},
};

/// What is written into the path that drops it, in bytes.
const LOST: usize = 20_000;
/// Retransmission timeouts that are unanswered while the peer is heard: 0.2 + 0.4 + 0.8 + 1.6 s.
const TIMEOUTS: u64 = 4;
/// The peer's small segments, and how often it sends one.
const SMALL: [u8; 10] = [b'x'; 10];
const SMALL_EVERY: Duration = Duration::from_millis(500);
/// How many of those came until then.
const SMALL_ONES: u64 = 5;
const LOOKS: u64 = 5;

/// Connections under loss, and for how long.
const FLOWS: u64 = 6;
const LOSSY_FOR: Duration = Duration::from_secs(15);
/// A request, and its answer of the same bytes: one segment, and its loss is found by the timeout alone.
const REQUEST: usize = 500;
const REQUEST_EVERY: Duration = Duration::from_millis(20);
/// Every twentieth exchange or so waits for a timeout; on a slow machine there are few exchanges.
const LOSSES: u64 = 2 * FLOWS;

/// Where time stands still for seconds nothing is sent for as long.
const AT_WORK: ExpectedLiveness = any_of(&["healthy", "idle_unguarded"]);

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[
    Scenario {
        forms: BOTH,
        client: SideExpectation {
            kernel: &[
                ("TCPTimeouts", KernelFigure::AtLeast(TIMEOUTS)),
                (capture::DATA_RECEIVED, KernelFigure::AtLeast(SMALL_ONES)),
            ],
            agent: &[],
        },
        server: SideExpectation {
            kernel: &[],
            agent: &[],
        },
        liveness: &[
            End::Client.is(STALLED).looks(LOOKS),
            End::Client.may_be(HEALTHY),
            End::Server.may_be(HEALTHY),
        ],
        ..Scenario::new(
            43,
            "",
            0,
            "the path drops segments of 1,200 bytes and more, the peer sends small ones; then it carries all",
            small_segments_alone,
        )
    },
    Scenario {
        client: LOSSY,
        server: LOSSY,
        liveness: &[
            End::Client.is(AT_WORK).looks(FLOWS * LOOKS),
            End::Server.is(AT_WORK).looks(FLOWS * LOOKS),
        ],
        forms: V4_ONLY,
        ..Scenario::new(
            50,
            "",
            0,
            "six connections lose every tenth packet each way for 15 s, all alive",
            lossy,
        )
    },
];

const LOSSY: SideExpectation = SideExpectation {
    kernel: &[
        ("RetransSegs", KernelFigure::AtLeast(LOSSES)),
        ("TCPTimeouts", KernelFigure::AtLeast(FLOWS)),
        ("EstabResets", KernelFigure::Exactly(0)),
    ],
    agent: &[],
};

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::socket(what, source)
}

fn small_segments_alone(stage: &Stage) -> Result<(), Error> {
    let connection = stage.connect(Timeouts::default())?;
    stage.pair.drop_long_at_server()?;
    (&connection.client)
        .write_all(&[0; LOST])
        .map_err(failed("write into a path that drops it"))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                (&connection.server).write_all(&SMALL)?;
                thread::sleep(SMALL_EVERY);
            }
            Ok(())
        });
        let stalled = stalled(stage, &connection);
        is_over.store(true, Ordering::Relaxed);
        let talked = talk
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a panic")));
        stalled.and_then(|()| talked.map_err(failed("write small segments")))
    })?;
    stage.keep([connection.client, connection.server]);
    Ok(())
}

fn stalled(stage: &Stage, connection: &SocketPair) -> Result<(), Error> {
    stage.counts_while(End::Client, "TCPTimeouts", TIMEOUTS, || {
        stage.look(End::Server)?;
        stage.look(End::Client).map(drop)
    })?;
    stage.await_liveness_while(End::Client, STALLED, LOOKS, || Ok(()))?;
    stage.pair.restore_server()?;
    (&connection.server)
        .read_exact(&mut [0; LOST])
        .map_err(failed("read what a path has carried at last"))?;
    stage.look(End::Client).map(drop)
}

fn lossy(stage: &Stage) -> Result<(), Error> {
    for host in stage.hosts() {
        host.sysctl("ipv4/tcp_early_retrans", "0")?;
    }
    let listener = stage.listen(Accept::AtOnce)?;
    let (mut flows, mut ports) = (Vec::new(), Vec::new());
    for _ in 0..FLOWS {
        let flow = stage.connect_from_any_port(&listener)?;
        let local = flow.client.local_addr().map_err(failed("read a port"))?;
        ports.extend(local.as_socket().map(|local| local.port()));
        flows.push(flow);
    }
    stage.pair.drop_every_tenth(&ports)?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let mut playing = Vec::new();
        for SocketPair { client, server } in &flows {
            playing.push(scope.spawn(move || answer(server)));
            playing.push(scope.spawn(move || ask(client, begun)));
        }
        let watched = wait::until("the end of a lossy time", LOSSY_FOR * 4, || {
            for end in ENDS {
                stage.look_at_all(end)?;
            }
            Ok(if begun.elapsed() >= LOSSY_FOR {
                Awaited::Done(())
            } else {
                Awaited::NotYet(String::new())
            })
        });
        let panicked = || Err(io::Error::other("a panic"));
        for flow in playing {
            let played = flow.join().unwrap_or_else(|_| panicked());
            played.map_err(failed("exchange requests and answers under loss"))?;
        }
        watched
    })?;
    stage.pair.restore_client()?;
    stage.pair.restore_server()?;
    stage.keep([listener]);
    for SocketPair { client, server } in flows {
        stage.keep([client, server]);
    }
    Ok(())
}

/// Sends back what comes, until nothing more does.
fn answer(mut server: &Socket) -> io::Result<()> {
    let mut request = [0; REQUEST];
    loop {
        server.read_exact(&mut request)?;
        server.write_all(&request)?;
        if request == LAST {
            return Ok(());
        }
    }
}

const LAST: [u8; REQUEST] = [u8::MAX; REQUEST];

/// Asks until the lossy time is over, and compares each answer.
fn ask(mut client: &Socket, begun: Instant) -> io::Result<()> {
    let mut number = 0_u8;
    loop {
        let is_last = begun.elapsed() >= LOSSY_FOR;
        let request = if is_last { LAST } else { [number; REQUEST] };
        client.write_all(&request)?;
        let mut answer = [0; REQUEST];
        client.read_exact(&mut answer)?;
        if answer != request {
            return Err(io::Error::other("another answer than was asked for"));
        }
        if is_last {
            return Ok(());
        }
        number = (number + 1) % u8::MAX;
        thread::sleep(REQUEST_EVERY);
    }
}
