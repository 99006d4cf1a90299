//! Clients that an application does not accept, or not yet. The kernel's own count of what found the accept
//! queue full is ListenOverflows.

use std::{fs, io::Write, net::Shutdown, time::Duration};

use crate::{
    Error,
    classify::{
        expectations::{
            ACCEPTED_ELSEWHERE, AgentFigure, KernelFigure, QUIET, RESET, SideExpectation,
        },
        liveness::{EMBRYONIC, ExpectedLiveness, HALF_CLOSED, STALE_FIN_WAIT2, UNACCEPTED, any_of},
    },
    net::{
        end::End,
        open::{Accept, Timeouts},
        thread_cgroup::ThreadCgroup,
    },
    observe::capture,
    scenario::{
        definition::{BOTH, EVERYWHERE, Scenario, V4_ONLY},
        stage::Stage,
    },
};

/// With 3 a SYN-ACK is given up 1 + 2 + 4 + 8 s after it was sent.
const SYNACK_RETRIES: &str = "3";

/// A client that has done its part: no data, no keepalive.
const CONNECTED: ExpectedLiveness = any_of(&["healthy", "idle_unguarded"]);
const IDLE: ExpectedLiveness = any_of(&["idle_unguarded"]);

const NO_ROOM: ExpectedLiveness =
    EMBRYONIC.because("the client's ACK came, but the accept queue of :");
const NO_DATA: ExpectedLiveness = EMBRYONIC.because("the client's ACK came, waiting for its data");
const HALF_ENDED: ExpectedLiveness = UNACCEPTED.because("the peer has ended its half");

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 67,
        variant: "",
        offset: 0,
        title: "accepted in another cgroup than its listener's, then closed with linger 0",
        forms: BOTH,
        client: RESET,
        server: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("EstabResets", KernelFigure::Exactly(1)),
            ],
            agent: &[
                ("resets_sent{tcp_state}", AgentFigure::Exactly(1)),
                ("deaths{reset_sent}", AgentFigure::Exactly(1)),
                // Of its certificate.
                (
                    ACCEPTED_ELSEWHERE,
                    AgentFigure::Hooked(&["inet_csk_accept"], &AgentFigure::Exactly(1)),
                ),
            ],
        },
        liveness: &[],
        trigger: accepted_elsewhere,
    },
    Scenario {
        number: 48,
        variant: "",
        offset: 0,
        title: "TCP_DEFER_ACCEPT: the ACK came, then the client is gone without data",
        forms: V4_ONLY,
        client: QUIET,
        server: SideExpectation {
            kernel: &[
                ("TCPTimeouts", KernelFigure::Exactly(4)),
                ("TCPDeferAcceptDrop", KernelFigure::AtLeast(1)),
                ("ListenOverflows", KernelFigure::Exactly(0)),
            ],
            agent: &[("deaths{connect_timeout}", AgentFigure::Exactly(1))],
        },
        liveness: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(NO_DATA),
        ],
        trigger: deferred,
    },
    Scenario {
        number: OVERFLOWED,
        variant: "",
        offset: 0,
        title: "accept queue full: the last ACK is thrown away, and the request dies",
        forms: BOTH,
        client: QUIET,
        server: SideExpectation {
            kernel: &[
                ("TCPTimeouts", KernelFigure::Exactly(4)),
                ("ListenOverflows", KernelFigure::AtLeast(1)),
            ],
            agent: &[("deaths{accept_queue_full}", AgentFigure::Exactly(1))],
        },
        liveness: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(NO_ROOM),
        ],
        trigger: overflowed,
    },
    Scenario {
        number: WAITING,
        variant: "",
        offset: 0,
        title: "established, and not accepted for longer than the idle threshold",
        forms: EVERYWHERE,
        client: QUIET,
        server: QUIET,
        liveness: &[
            End::Client.is(CONNECTED).never_found(),
            End::Server.is(UNACCEPTED).never_found(),
            End::Server.is(CONNECTED).never_found(),
        ],
        trigger: waiting,
    },
    Scenario {
        number: WAITING_HALF_ENDED,
        variant: "",
        offset: 0,
        title: "not accepted, while the client has sent its data and its FIN: CLOSE_WAIT",
        forms: V4_ONLY,
        client: QUIET,
        server: QUIET,
        liveness: &[
            End::Client.may_be(HALF_CLOSED).never_found(),
            End::Client.is(STALE_FIN_WAIT2).never_found(),
            End::Server.is(HALF_ENDED).never_found().looks(LOOKS),
        ],
        trigger: waiting_half_ended,
    },
    Scenario {
        number: ABORTED,
        variant: "",
        offset: 0,
        title: "accept queue full, tcp_abort_on_overflow = 1: the client is reset",
        forms: BOTH,
        client: RESET,
        server: SideExpectation {
            kernel: &[
                ("OutRsts", KernelFigure::Exactly(1)),
                (capture::RST_SENT, KernelFigure::Exactly(1)),
                ("EmbryonicRsts", KernelFigure::Exactly(1)),
                ("ListenOverflows", KernelFigure::AtLeast(1)),
            ],
            agent: &[
                ("resets_sent{tcp_listen_overflow}", AgentFigure::Exactly(1)),
                ("deaths{accept_queue_full}", AgentFigure::Exactly(1)),
            ],
        },
        liveness: &[],
        trigger: aborted,
    },
];

/// At least 150 ms apart.
const LOOKS: u64 = 20;

const OVERFLOWED: u16 = 51;
const WAITING: u16 = 52;
const WAITING_HALF_ENDED: u16 = 53;
const ABORTED: u16 = 54;

fn deferred(stage: &Stage) -> Result<(), Error> {
    let server = &stage.pair.server;
    server.sysctl("ipv4/tcp_synack_retries", SYNACK_RETRIES)?;
    stage.keep([stage.listen(Accept::WithDataSoon)?]);
    stage.keep([stage.send_syn(Timeouts::default())?]);
    stage.reaches(End::Client, "established")?;
    stage.server_counts("TCPDeferAcceptDrop", 1)?;
    stage.pair.drop_at_server()?;
    stage.await_liveness(End::Server, NO_DATA)?;
    stage.await_liveness(End::Client, CONNECTED)?;
    stage.gone(End::Server)
}

fn overflowed(stage: &Stage) -> Result<(), Error> {
    let server = &stage.pair.server;
    server.sysctl("ipv4/tcp_synack_retries", SYNACK_RETRIES)?;
    stage.overflow()?;
    stage.await_liveness(End::Server, NO_ROOM)?;
    stage.await_liveness(End::Client, CONNECTED)?;
    stage.gone(End::Server)
}

fn accepted_elsewhere(stage: &Stage) -> Result<(), Error> {
    let cgroup = ThreadCgroup::new(stage.pair.server.name())?;
    let listener = stage.listen(Accept::AtOnce)?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Server, "established")?;
    let (server, _) = cgroup
        .run(|| listener.accept())
        .map_err(|source| Error::Unsupported(format!("no thread gets into a cgroup: {source}")))?;
    server
        .set_linger(Some(Duration::ZERO))
        .map_err(|source| Error::socket("set SO_LINGER to 0", source))?;
    stage.keep([client, listener]);
    stage.keep_cgroup(cgroup);
    drop(server);
    stage.server_counts("OutRsts", 1)?;
    stage.client_counts("EstabResets", 1).map(drop)
}

/// The client's end is as idle as the server's: once it is called so, the server's would be, too.
fn waiting(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Server, "established")?;
    stage.await_liveness(End::Server, UNACCEPTED)?;
    stage.await_liveness(End::Client, IDLE)?;
    stage.look(End::Server)?;
    let connection = stage.accepted(&listener, client)?;
    stage.await_liveness(End::Server, CONNECTED)?;
    stage.keep([listener]);
    connection.close()
}

fn waiting_half_ended(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    let client = stage.send_syn(Timeouts::default())?;
    stage.reaches(End::Server, "established")?;
    (&client)
        .write_all(b"hello")
        .and_then(|()| client.shutdown(Shutdown::Write))
        .map_err(|source| Error::socket("send data and a FIN", source))?;
    stage.reaches(End::Server, "close_wait")?;
    // For longer than it takes a CLOSE_WAIT to be called stale.
    stage.await_liveness_while(End::Server, HALF_ENDED, LOOKS, || Ok(()))?;
    stage.await_liveness(End::Client, STALE_FIN_WAIT2)?;
    stage.keep([listener, client]);
    Ok(())
}

/// Only a kernel that reports why it sends a reset lets this one be told from the answer to a stray ACK.
fn aborted(stage: &Stage) -> Result<(), Error> {
    const REASON: &[u8] = b"SK_RST_REASON_INVALID_SYN";
    let types = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    if !types.windows(REASON.len()).any(|name| name == REASON) {
        let why = "the kernel does not report why it sends resets (Linux 6.10)";
        return Err(Error::Unsupported(why.to_owned()));
    }
    stage
        .pair
        .server
        .sysctl("ipv4/tcp_abort_on_overflow", "1")?;
    stage.overflow()?;
    stage.client_counts("EstabResets", 1).map(drop)
}
