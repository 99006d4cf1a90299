//! An event for programs: one JSON object with the version of its form, which is also what travels from
//! an agent to those who watch it.
//!
//! Times are whole milliseconds, `time` is RFC 3339; sizes are bytes. A fact that is unknown is `null`,
//! and `unknown` says why under the same name. Keys that do not apply to this kind of event are left
//! out: `number`, `cause`, `path` and `inferred` but of a death, `idle_before_close_ms` but of a death after
//! our close, `accepted_by` but of an inbound connection, `evidence` but of a probe, a timeout, an answer
//! and a recovery, `reason` where no reset was sent.
//!
//! # Invariants
//! The meaning of a key changes only with a new version. Each `null` has a reason beside it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        connection::{CarriedBytes, Unknown},
        death::Cause,
        deaths::{Certificate, KeptAndDropped},
        event::{Event, EventKind, QueuedBytes, Sent},
        liveness::Evidence,
    },
    render::facts::{Address, Keepalive, Reasons, ms},
};

const FORMAT: &str = "halfopen.event";
const VERSION: u32 = 1;

/// `what` of an object that stands for events that were dropped.
pub const DROPPED: &str = "dropped";

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Form {
    format: Cow<'static, str>,
    format_version: u32,
    /// When.
    pub time: Cow<'static, str>,
    /// `probe`, `timeout`, `answer`, `recovery`, `reset_sent`, `reset_received` or `death`.
    pub what: Cow<'static, str>,
    /// The certificate's number, from 1 in the order of arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// What killed it: `cause` of `halfopen_deaths_total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cow<'static, str>>,
    /// On which path of the kernel it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'static, str>>,
    /// Whether the cause follows from what the socket had outstanding: no hook saw the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred: Option<bool>,
    /// `keepalive`, `retransmission` or `window_probe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Cow<'static, str>>,
    /// Why we reset it: `reason` of `halfopen_resets_sent_total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Inode number of its network namespace.
    pub netns: u32,
    cookie: Option<u64>,
    /// The local end.
    pub local: Address,
    /// The remote end.
    pub remote: Address,
    /// The state it was in.
    pub state: Cow<'static, str>,
    /// `inbound` or `outbound`; of a reset that answers for no connection `inbound` where somebody listens, else
    /// `none`.
    pub direction: Cow<'static, str>,
    /// Whose it was.
    pub owner: Option<Cow<'static, str>>,
    /// Whose process accepted it: of an inbound connection, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<Cow<'static, str>>,
    cgroup: Option<u64>,
    uid: Option<u32>,
    /// Closed by its application before.
    pub orphaned: bool,
    mptcp: bool,
    /// Since the peer was last heard.
    pub silence_ms: Option<u64>,
    /// Of a death that came after our close: for how long no data had been sent or received then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_before_close_ms: Option<u64>,
    /// Since it began.
    pub age_ms: Option<u64>,
    /// Settings in force.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT; 0 means unset, as in the kernel.
    pub user_timeout_ms: Option<u64>,
    /// Keepalive probes sent.
    pub keepalive_probes: Option<u32>,
    keepalive_probes_answered: Option<u32>,
    /// Window probes sent.
    pub window_probes: Option<u32>,
    window_probes_answered: Option<u32>,
    /// Retransmission timeouts.
    pub retransmission_timeouts: Option<u32>,
    /// Probes and retransmission timeouts since the peer was last heard.
    pub unanswered: Option<u32>,
    resets_sent: Option<u32>,
    resets_received: Option<u32>,
    /// Payload sent, retransmissions included.
    pub sent_bytes: Option<u64>,
    /// Payload received.
    pub received_bytes: Option<u64>,
    /// Written and not acknowledged, SYN and FIN included.
    pub unacknowledged_bytes: Option<u32>,
    /// Received and not read, FIN included.
    pub unread_bytes: Option<u32>,
    /// `sk_err`, 0 if none: what was seen; a cause rests on it only where ICMP ended a connect.
    pub errno: u32,
    unknown: BTreeMap<String, String>,
}

impl Form {
    /// Of an event; a death's certificate has a number.
    #[must_use]
    pub fn new(event: &Event, number: Option<u64>) -> Self {
        let it = &event.connection;
        let mut why = Reasons::default();
        let death = match &event.kind {
            EventKind::Death(death) => Some(death),
            _ => None,
        };
        let sent = |part: fn(&Sent) -> u32| event.sent.as_ref().map(part).map_err(|why| *why);
        let carried = |part: fn(&CarriedBytes) -> u64| {
            event
                .connection
                .carried
                .as_ref()
                .map(part)
                .map_err(|why| *why)
        };
        let held =
            |part: fn(&QueuedBytes) -> u32| event.held.as_ref().map(part).map_err(|why| *why);
        Self {
            format: FORMAT.into(),
            format_version: VERSION,
            time: time(event.at).into(),
            what: event.kind.as_str().into(),
            number,
            cause: event.cause().map(|cause| cause.as_str().into()),
            path: death.map(|death| death.path.as_str().into()),
            inferred: death.map(|death| death.inferred),
            evidence: evidence(&event.kind).map(|evidence| evidence.as_str().into()),
            reason: match &event.kind {
                EventKind::ResetSent(reason) => Some(reason.to_string().into()),
                EventKind::Death(death) => {
                    death.reset_reason.as_ref().map(|it| it.to_string().into())
                }
                _ => None,
            },
            netns: it.netns,
            cookie: why.known_or("cookie", it.cookie, "nobody has asked for it yet"),
            local: it.local.into(),
            remote: it.remote.into(),
            state: it.state.as_str().into(),
            direction: it.direction.as_str().into(),
            owner: why
                .fact("owner", it.owner.clone())
                .map(|owner| Cow::Owned(owner.to_string())),
            accepted_by: match &event.accepted_by {
                Err(Unknown::NotOfThisKind) => None,
                accepted_by => why
                    .fact("accepted_by", accepted_by.clone())
                    .map(|owner| Cow::Owned(owner.to_string())),
            },
            cgroup: why.fact("cgroup", it.cgroup),
            uid: why.fact("uid", it.uid),
            orphaned: it.orphaned,
            mptcp: it.mptcp,
            silence_ms: why.age("silence_ms", it.silence()),
            idle_before_close_ms: death
                .and_then(|death| death.idle_before_close)
                .and_then(|idle| why.age("idle_before_close_ms", idle)),
            age_ms: why.age("age_ms", event.age),
            keepalive: why.fact("keepalive", it.keepalive).map(Keepalive::from),
            user_timeout_ms: why
                .fact("user_timeout_ms", it.user_timeout)
                .map(|timeout| timeout.map_or(0, ms)),
            keepalive_probes: why.fact("keepalive_probes", sent(|it| it.keepalive_probes)),
            keepalive_probes_answered: why.fact(
                "keepalive_probes_answered",
                sent(|it| it.keepalive_probes_answered),
            ),
            window_probes: why.fact("window_probes", sent(|it| it.window_probes)),
            window_probes_answered: why.fact(
                "window_probes_answered",
                sent(|it| it.window_probes_answered),
            ),
            retransmission_timeouts: why.fact(
                "retransmission_timeouts",
                sent(|it| it.retransmission_timeouts),
            ),
            unanswered: why.fact("unanswered", sent(|it| it.unanswered)),
            resets_sent: why.fact("resets_sent", sent(|it| it.resets_sent)),
            resets_received: why.fact("resets_received", sent(|it| it.resets_received)),
            sent_bytes: why.fact("sent_bytes", carried(|it| it.sent)),
            received_bytes: why.fact("received_bytes", carried(|it| it.received)),
            unacknowledged_bytes: why.fact("unacknowledged_bytes", held(|it| it.unacknowledged)),
            unread_bytes: why.fact("unread_bytes", held(|it| it.unread)),
            errno: event.error.unwrap_or(0),
            unknown: why.into_map(),
        }
    }

    /// One line of JSON, without its end.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a line back.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn parse(json: &str) -> Result<Line, String> {
        // The version first: what another one lacks or has besides is beside the point.
        let head: Head = serde_json::from_str(json)
            .map_err(|error| format!("it is no event of halfopen ({error})"))?;
        if (&*head.format, head.format_version) != (FORMAT, VERSION) {
            let Head {
                format,
                format_version: version,
                ..
            } = head;
            return Err(format!(
                "it is {format:?} of version {version}, where {FORMAT:?} of version {VERSION} is understood"
            ));
        }
        let wrong = |error: serde_json::Error| format!("it is not as it must be ({error})");
        if head.what == DROPPED {
            let Dropped { events, .. } = serde_json::from_str(json).map_err(wrong)?;
            return Ok(Line::Dropped(events));
        }
        let form = serde_json::from_str(json).map_err(wrong)?;
        Ok(Line::Event(Box::new(form)))
    }

    /// Whether its silence is unknown since the peer was never heard: of a request whose last ACK came it is
    /// for another reason.
    #[must_use]
    pub fn is_never_heard(&self) -> bool {
        let why = self.unknown.get("silence_ms");
        why.is_some_and(|why| *why == Unknown::NeverHeard.to_string())
    }

    /// Whether it is of a connection: a reset may answer a segment that belongs to none.
    #[must_use]
    pub const fn has_connection(&self) -> bool {
        self.uid.is_some()
    }

    /// Whether it is a death's certificate.
    #[must_use]
    pub fn is_death(&self) -> bool {
        self.what == "death"
    }
}

/// One line of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// An event.
    Event(Box<Form>),
    /// So many events were dropped.
    Dropped(u64),
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    format_version: u32,
    #[serde(default)]
    what: String,
}

#[derive(Serialize, Deserialize)]
struct Dropped {
    format: Cow<'static, str>,
    format_version: u32,
    what: Cow<'static, str>,
    events: u64,
}

const fn evidence(kind: &EventKind) -> Option<Evidence> {
    match kind {
        EventKind::Probe(evidence)
        | EventKind::Answer(evidence)
        | EventKind::Recovery(evidence) => Some(*evidence),
        EventKind::Timeout => Some(Evidence::Retransmission),
        EventKind::ResetSent(_) | EventKind::ResetReceived | EventKind::Death(_) => None,
    }
}

/// RFC 3339 in UTC, to the microsecond; the epoch's beginning for a time that no calendar has.
fn time(since_epoch: Duration) -> String {
    let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(0);
    let time = Timestamp::from_microsecond(micros).unwrap_or_default();
    format!("{time:.6}")
}

/// The line that stands for events that were dropped.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn dropped_json(events: u64) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Dropped {
        format: FORMAT.into(),
        format_version: VERSION,
        what: DROPPED.into(),
        events,
    })
}

/// Certificates to be listed, and what they were chosen from.
pub struct Deaths<'a> {
    /// The newest first.
    pub shown: Vec<&'a Certificate>,
    /// Certificates that match and are kept, but are beyond the limit.
    pub beyond_limit: usize,
    /// Certificates since the agent began, those no longer kept included.
    pub arrived: u64,
    /// Certificates that found no room on their way from the kernel, and are not among them.
    pub lost: u64,
    /// Certificates kept at most.
    pub kept_at_most: usize,
    /// How many are kept of each cause, and how many no longer.
    pub by_cause: BTreeMap<Cause, KeptAndDropped>,
}

#[derive(Serialize)]
struct KeptAndDroppedForm {
    kept: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct DeathsForm {
    format: &'static str,
    format_version: u32,
    arrived: u64,
    lost: u64,
    kept_at_most: usize,
    by_cause: BTreeMap<&'static str, KeptAndDroppedForm>,
    shown: usize,
    beyond_limit: usize,
    deaths: Vec<Form>,
}

/// The list as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn deaths_json(deaths: &Deaths<'_>) -> Result<String, serde_json::Error> {
    let forms = deaths.shown.iter();
    let form = DeathsForm {
        format: "halfopen.deaths",
        format_version: 1,
        arrived: deaths.arrived,
        lost: deaths.lost,
        kept_at_most: deaths.kept_at_most,
        by_cause: deaths
            .by_cause
            .iter()
            .map(|(cause, &KeptAndDropped { kept, dropped })| {
                (cause.as_str(), KeptAndDroppedForm { kept, dropped })
            })
            .collect(),
        shown: deaths.shown.len(),
        beyond_limit: deaths.beyond_limit,
        deaths: forms
            .map(|certificate| Form::new(&certificate.event, Some(certificate.number)))
            .collect(),
    };
    serde_json::to_string(&form).map(|text| text + "\n")
}
