//! The report for programs: one JSON object with the version of its form.
//!
//! Times are whole milliseconds, `rtt_ms` alone has decimals; sizes are bytes. A fact that is unknown
//! is `null`, and `unknown` says why under the same name. Not facts, and `null` where they do not
//! apply: `evidence` but of a suspect, `guard` but of an idle connection, `acceptance` but of one that a
//! peer opened, `accept_queue` but of a listener and of what waits for it. `processes` stands there only where
//! it was asked for.
//!
//! # Invariants
//! The meaning of a key changes only with a new version. Each `null` has a reason beside it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::Report;
use crate::{
    model::{
        assessed::Assessed,
        connection::{
            self, AcceptQueue, Acceptance, Holder, Known, Outstanding, TimerKind, Unknown,
        },
        detection::{Detection, Paths},
        liveness::Liveness,
    },
    render::facts::{Address, Keepalive, Reasons, ms},
};

/// The report as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(report: &Report<'_>) -> Result<String, serde_json::Error> {
    let list = List {
        format: "halfopen.list",
        format_version: 1,
        source: report.source.as_str(),
        total: report.total,
        shown: report.rows.len(),
        beyond_limit: report.beyond_limit,
        noteworthy_only: report.noteworthy_only,
        uncertain: report.uncertain,
        unseen_namespaces: report.unseen_namespaces,
        cut_short: report.incomplete,
        thresholds: Thresholds {
            idle_ms: ms(report.thresholds.idle),
            close_wait_ms: ms(report.thresholds.close_wait),
        },
        connections: report.rows.iter().map(connection).collect(),
    };
    serde_json::to_string_pretty(&list).map(|text| text + "\n")
}

#[derive(Serialize)]
struct List<'a> {
    format: &'static str,
    format_version: u32,
    /// `bpf` or `sock_diag`.
    source: &'static str,
    /// Connections found.
    total: u64,
    shown: usize,
    /// Not shown because of a limit.
    beyond_limit: u64,
    /// Whether only connections worth worrying about are shown.
    noteworthy_only: bool,
    /// Not shown, though a fact is unknown that might have made them worth worrying about.
    uncertain: u64,
    unseen_namespaces: u64,
    /// Times the reader lost its place and may have missed a few connections.
    cut_short: u64,
    thresholds: Thresholds,
    connections: Vec<Connection<'a>>,
}

#[derive(Serialize)]
struct Thresholds {
    idle_ms: u64,
    close_wait_ms: u64,
}

#[derive(Serialize)]
struct Connection<'a> {
    netns: u32,
    cookie: Option<u64>,
    local: Address,
    remote: Address,
    state: &'static str,
    direction: &'static str,
    owner: Option<&'a str>,
    cgroup: Option<u64>,
    uid: Option<u32>,
    orphaned: bool,
    /// How far a connection has come that a peer opened; `null` for others.
    acceptance: Option<&'static str>,
    /// Of a listener, and of what waits to be accepted by it.
    accept_queue: Option<Queue>,
    mptcp: bool,
    liveness: &'static str,
    evidence: Option<&'static str>,
    guard: Option<&'static str>,
    why: &'a str,
    silence_ms: Option<u64>,
    idle_ms: Option<u64>,
    last_ack_ms: Option<u64>,
    last_received_ms: Option<u64>,
    last_sent_ms: Option<u64>,
    keepalive: Option<Keepalive>,
    /// 0 means unset, as in the kernel.
    user_timeout_ms: Option<u64>,
    retransmits: Option<u32>,
    probes_outstanding: Option<u32>,
    packets_out: Option<u32>,
    unacknowledged_bytes: Option<u64>,
    unsent_bytes: Option<u64>,
    /// Of a listener: connections not accepted.
    unread_bytes: Option<u64>,
    send_window_bytes: Option<u64>,
    rto_ms: Option<u64>,
    rtt_ms: Option<f64>,
    timer: Option<Timer>,
    detect: Detect,
    memory_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    received_bytes: Option<u64>,
    /// Left out where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Option<Vec<Process<'a>>>>,
    /// Why a fact is `null`, by its name; `liveness` where one might have changed the verdict.
    unknown: BTreeMap<String, String>,
}

/// An accept queue; of listeners that share an address and port, all together.
#[derive(Serialize)]
struct Queue {
    connections: u64,
    /// It takes one more (`sk_acceptq_is_full`).
    limit: u64,
    listeners: u64,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    fd: u32,
    /// With U+FFFD for what is no UTF-8.
    name: Cow<'a, str>,
    /// The owner of its cgroup.
    owner: Option<&'a str>,
}

#[derive(Serialize)]
struct Timer {
    /// `none` where none runs.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
}

/// Milliseconds, or `never`.
#[derive(Serialize)]
struct Detect {
    /// As long as nobody writes.
    idle_ms: Option<Limit>,
    /// With data in flight.
    data_ms: Option<Limit>,
    /// The one of them that applies at this moment.
    now_ms: Option<Limit>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Limit {
    Within(u64),
    Never(&'static str),
}

fn limit(why: &mut Reasons, name: &'static str, fact: Known<Detection>) -> Option<Limit> {
    why.fact(name, fact).map(|detection| match detection {
        Detection::Within(limit) => Limit::Within(ms(limit)),
        Detection::Never => Limit::Never("never"),
    })
}

fn connection(assessed: &Assessed) -> Connection<'_> {
    let Assessed {
        connection: it,
        verdict,
        detection: Paths { idle, data },
    } = assessed;
    let mut why = Reasons::default();
    if let Some(unknown) = verdict.unknown {
        why.say("liveness", unknown.to_string());
    }
    let outstanding = it.outstanding;
    let of = |part: fn(&Outstanding) -> u64| outstanding.as_ref().map(part).map_err(|why| *why);
    let number = |part: fn(&Outstanding) -> u32| outstanding.as_ref().map(part).map_err(|why| *why);
    Connection {
        netns: it.netns,
        cookie: why.known_or("cookie", it.cookie, "nobody has asked for it yet"),
        local: it.local.into(),
        remote: it.remote.into(),
        state: it.state.as_str(),
        direction: it.direction.as_str(),
        owner: why.fact("owner", it.owner.as_deref().map_err(|why| *why)),
        cgroup: why.fact("cgroup", it.cgroup),
        uid: why.fact("uid", it.uid),
        orphaned: it.orphaned,
        acceptance: applicable(&mut why, "acceptance", it.acceptance).map(Acceptance::as_str),
        accept_queue: applicable(&mut why, "accept_queue", it.accept_queue).map(queue),
        mptcp: it.mptcp,
        liveness: verdict.liveness.as_str(),
        evidence: match verdict.liveness {
            Liveness::Suspect(evidence) => Some(evidence.as_str()),
            _ => None,
        },
        guard: match verdict.liveness {
            Liveness::Idle(guard) => Some(guard.as_str()),
            _ => None,
        },
        why: &verdict.why,
        silence_ms: why.age("silence_ms", it.silence()),
        idle_ms: why.age("idle_ms", it.idle()),
        last_ack_ms: why.age("last_ack_ms", it.last_ack),
        last_received_ms: why.age("last_received_ms", it.last_received),
        last_sent_ms: why.age("last_sent_ms", it.last_sent),
        keepalive: why.fact("keepalive", it.keepalive).map(Keepalive::from),
        user_timeout_ms: why
            .fact("user_timeout_ms", it.user_timeout)
            .map(|timeout| timeout.map_or(0, ms)),
        retransmits: why.fact("retransmits", number(|it| it.retransmits)),
        probes_outstanding: why.fact("probes_outstanding", number(|it| it.probes)),
        packets_out: why.fact("packets_out", number(|it| it.packets_out)),
        unacknowledged_bytes: why.fact("unacknowledged_bytes", of(|it| it.unacknowledged)),
        unsent_bytes: why.fact("unsent_bytes", of(|it| it.unsent)),
        unread_bytes: why.fact("unread_bytes", of(|it| it.unread)),
        send_window_bytes: why.fact("send_window_bytes", of(|it| it.send_window)),
        rto_ms: why.age("rto_ms", it.rto),
        rtt_ms: why.fact("rtt_ms", it.rtt).map(fine_ms),
        timer: why.fact("timer", it.timer).map(timer),
        detect: Detect {
            idle_ms: limit(&mut why, "detect.idle_ms", *idle),
            data_ms: limit(&mut why, "detect.data_ms", *data),
            now_ms: limit(&mut why, "detect.now_ms", assessed.detect_now()),
        },
        memory_bytes: why.fact("memory_bytes", it.memory),
        sent_bytes: why.fact("sent_bytes", it.carried.map(|it| it.sent)),
        received_bytes: why.fact("received_bytes", it.carried.map(|it| it.received)),
        processes: (it.processes != Err(Unknown::NotAskedFor)).then(|| {
            let holders = it.processes.as_deref().map_err(|why| *why);
            let holders = why.fact("processes", holders)?;
            let process = |holder| process(holder, &mut why);
            Some(holders.iter().map(process).collect())
        }),
        unknown: why.into_map(),
    }
}

/// A fact of some kinds of sockets alone: of others it is no fact that could be unknown.
fn applicable<T>(why: &mut Reasons, name: &str, fact: Known<T>) -> Option<T> {
    match fact {
        Err(Unknown::NotOfThisKind) => None,
        fact => why.fact(name, fact),
    }
}

const fn queue(queue: AcceptQueue) -> Queue {
    Queue {
        connections: queue.held,
        limit: queue.limit,
        listeners: queue.listeners,
    }
}

fn process<'a>(holder: &'a Holder, why: &mut Reasons) -> Process<'a> {
    let owner = holder.owner.as_deref().map_err(|why| *why);
    Process {
        owner: why.fact("processes.owner", owner),
        pid: holder.pid,
        fd: holder.fd,
        name: String::from_utf8_lossy(&holder.name),
    }
}

fn timer(timer: Option<connection::Timer>) -> Timer {
    Timer {
        kind: timer.map_or("none", |timer| match timer.kind {
            TimerKind::Retransmission => "retransmission",
            TimerKind::Keepalive => "keepalive",
            TimerKind::TimeWait => "time_wait",
            TimerKind::Persist => "persist",
        }),
        left_ms: timer.map(|timer| ms(timer.left)),
    }
}

/// A round trip may be far below a millisecond, and 0 would be wrong.
fn fine_ms(duration: Duration) -> f64 {
    let us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(us) / 1000.0
}
