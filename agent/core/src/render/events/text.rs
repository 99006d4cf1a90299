//! One aligned line an event, for people.
//!
//! # Invariants
//! Neither an address nor a line is broken: what is wider than its column moves the rest.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use super::{form::Form, reasons};
use crate::render::{
    facts::Address,
    words::{age, counted, plain, setting, size},
};

/// How to write lines.
#[derive(Debug, Clone)]
pub struct Options {
    /// In whose time.
    pub zone: TimeZone,
    /// Whether the day is told too: events may be older than today.
    pub date: bool,
    /// Whether the titles of the columns come first.
    pub header: bool,
    /// Whether events are coloured.
    pub color: bool,
}

const TITLES: [&str; 6] = ["TIME", "EVENT", "CAUSE", "LOCAL", "REMOTE", "OWNER"];
/// Room for what is usual, so that lines stay aligned from the first on; a column that once was wider
/// stays so, up to [`WIDEST`].
const WIDTHS: [usize; 6] = [12, 14, 21, 21, 21, 5];
/// The longest address with its port.
const WIDEST: usize = 47;

/// Writes lines one after the other.
#[derive(Debug)]
pub struct Lines {
    options: Options,
    widths: [usize; 6],
    begun: bool,
}

impl Lines {
    /// The first line is yet to come.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            widths: WIDTHS,
            begun: false,
        }
    }

    /// Adds the line of an event.
    pub fn event(&mut self, out: &mut String, form: &Form) {
        let cells = [
            clock(&form.time, &self.options),
            plain(&form.what),
            cause(form),
            address(&form.local),
            address(&form.remote),
            form.owner
                .as_ref()
                .map_or_else(|| "-".to_owned(), |owner| plain(owner)),
        ];
        let color = match &*form.what {
            "death" => "\u{1b}[31m",
            "recovery" => "\u{1b}[32m",
            "reset_sent" | "reset_received" => "\u{1b}[33m",
            _ => "",
        };
        self.line(out, &cells, &detail(form), color);
    }

    /// Adds a line for events that were dropped.
    pub fn dropped(&mut self, out: &mut String, events: u64) {
        let cells = ["-", "dropped", "-", "-", "-", "-"].map(str::to_owned);
        let count = counted(events, "event");
        self.line(out, &cells, &format!("{count} missing here"), "\u{1b}[35m");
    }

    fn line(&mut self, out: &mut String, cells: &[String; 6], detail: &str, color: &str) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count().min(WIDEST));
        }
        if !self.begun && self.options.header {
            self.write(out, &TITLES.map(str::to_owned), "DETAIL", "");
        }
        self.begun = true;
        let color = if self.options.color { color } else { "" };
        self.write(out, cells, detail, color);
    }

    fn write(&self, out: &mut String, cells: &[String; 6], detail: &str, color: &str) {
        for (nth, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            // The event is the second column, and the only one with a colour.
            if nth == 1 && !color.is_empty() {
                out.extend([color, cell, "\u{1b}[0m"]);
            } else {
                out.push_str(cell);
            }
            let pad = width.saturating_sub(cell.chars().count());
            out.extend(std::iter::repeat_n(' ', pad + 2));
        }
        out.push_str(detail);
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
}

/// To milliseconds, in the reader's time.
fn clock(time: &str, options: &Options) -> String {
    let form = if options.date {
        "%Y-%m-%d %H:%M:%S.%3f"
    } else {
        "%H:%M:%S.%3f"
    };
    time.parse::<Timestamp>().map_or_else(
        |_| plain(time),
        |time| {
            time.to_zoned(options.zone.clone())
                .strftime(form)
                .to_string()
        },
    )
}

fn cause(form: &Form) -> String {
    let either = [&form.cause, &form.evidence, &form.reason];
    let first = either.into_iter().find_map(Option::as_ref);
    match (first, &form.path) {
        (None, _) => "-".to_owned(),
        // One cause, several paths: which of them matters to whoever set the timeout.
        (Some(cause), Some(path)) if cause == "user_timeout" => {
            format!("{cause}/{}", plain(path))
        }
        // A peer that was restarted, and one that is there and does not want to go on.
        (Some(cause), Some(path)) if path == "peer_forgot" => format!("{cause}/{}", plain(path)),
        // Not for want of an answer: the kernel or its own side gave it up.
        (Some(cause), Some(path)) if cause == "orphan" && path != cause => {
            format!("{cause}/{}", plain(path))
        }
        (Some(cause), _) => plain(cause),
    }
}

fn address(address: &Address) -> String {
    let Address { address, port } = address;
    let address = plain(address);
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// The figures that matter, the most telling first.
fn detail(form: &Form) -> String {
    let mut parts = Vec::new();
    if !form.has_connection() {
        return "no connection".to_owned();
    }
    parts.push(plain(&form.state));
    if form.orphaned {
        parts.push("orphan".to_owned());
    }
    parts.extend(silence(form));
    if form.is_death() {
        certificate(form, &mut parts);
    } else {
        parts.extend(progress(form));
        parts.extend(reasons::words(form).map(str::to_owned));
    }
    parts.join(", ")
}

/// For how long nothing has come from the peer.
fn silence(form: &Form) -> Option<String> {
    // What ended it came from the peer.
    let is_reset = form.what == "reset_received" || form.cause.as_deref() == Some("refused");
    Some(match form.silence_ms {
        Some(silence) if ["answer", "recovery"].contains(&&*form.what) => {
            format!("heard {} ago", span(silence))
        }
        Some(silence) => format!("silent {}", span(silence)),
        None if form.state == "syn_sent" || form.state == "syn_recv" => {
            let words = if form.is_never_heard() {
                "never heard"
            } else {
                "its last ACK came"
            };
            return (!is_reset).then(|| words.to_owned());
        }
        None => "silent ?".to_owned(),
    })
}

/// How far it is with what went out without an answer, this event's own probe or timeout included.
fn progress(form: &Form) -> Option<String> {
    let unanswered = form.unanswered.filter(|unanswered| *unanswered > 0)?;
    Some(match &*form.what {
        "answer" => return None,
        "probe" => match (&form.keepalive, form.user_timeout_ms) {
            // TCP_USER_TIMEOUT takes the place of the limit (tcp_keepalive_timer()).
            (Some(keepalive), Some(0)) if form.evidence.as_deref() == Some("keepalive") => {
                format!("probe {unanswered} of {}", keepalive.probes)
            }
            _ => format!("probe {unanswered}"),
        },
        "recovery" => format!("after {unanswered} unanswered"),
        _ => format!("{unanswered} unanswered"),
    })
}

/// What went out in its life, and how much of it without an answer at the end.
fn sent(form: &Form) -> Option<String> {
    let Some(unanswered) = form.unanswered else {
        // Only a full socket has anything to send; this one has no record.
        return form.unacknowledged_bytes.map(|_| "probes ?".to_owned());
    };
    let kinds = [
        (form.keepalive_probes, "keepalive probe"),
        (form.window_probes, "window probe"),
        (form.retransmission_timeouts, "timeout"),
    ];
    let kinds = kinds.map(|(number, noun)| (number.unwrap_or(0), noun));
    let all: u32 = kinds.iter().map(|(number, _)| number).sum();
    let named: Vec<_> = kinds
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| counted((*number).into(), noun))
        .collect();
    let named = named.join(" and ");
    match unanswered {
        _ if all == 0 => None,
        0 => Some(named),
        _ if unanswered == all => Some(format!("{named} unanswered")),
        _ => Some(format!("{unanswered} unanswered of {named}")),
    }
}

/// What a death's certificate tells.
fn certificate(form: &Form, parts: &mut Vec<String>) {
    parts.extend(sent(form));
    parts.push(
        form.age_ms
            .map_or_else(|| "age ?".to_owned(), |age| format!("age {}", span(age))),
    );
    // Before the handshake's end there is no payload, but for Fast Open.
    let handshake = matches!(&*form.state, "syn_sent" | "syn_recv");
    if let (false, Some(sent), Some(received)) = (handshake, form.sent_bytes, form.received_bytes) {
        parts.push(format!("{} sent, {} received", size(sent), size(received)));
    }
    if let Some(by) = form.accepted_by.as_deref()
        && form.owner.as_deref() != Some(by)
    {
        parts.push(format!("accepted by {}", plain(by)));
    }
    if form.path.as_deref() == Some("closed_while_peer_sent") {
        parts.push("data came after our close".to_owned());
    }
    if let Some(idle) = form.idle_before_close_ms {
        parts.push(format!("idle {} before our close", span(idle)));
    }
    // Nothing but the SYN.
    let unacknowledged = form
        .unacknowledged_bytes
        .filter(|bytes| form.state != "syn_sent" || *bytes > 1);
    for (bytes, what) in [
        (unacknowledged, "unacknowledged"),
        (form.unread_bytes, "unread"),
    ] {
        if let Some(bytes @ 1..) = bytes {
            parts.push(format!("{} {what}", size(bytes.into())));
        }
    }
    match &form.keepalive {
        Some(keepalive) if keepalive.setting == "off" => parts.push("keepalive off".to_owned()),
        Some(keepalive) => parts.push(format!(
            "keepalive {}/{}/{}",
            set(keepalive.idle_ms),
            set(keepalive.interval_ms),
            keepalive.probes
        )),
        None => {}
    }
    if let Some(timeout @ 1..) = form.user_timeout_ms {
        parts.push(format!("user timeout {}", set(timeout)));
    }
    match (form.cause.as_deref(), &form.reason) {
        (Some("reset_sent"), Some(reason)) => {
            let reason = plain(reason);
            // Said already of data that came after our close.
            let words = reasons::words(form).filter(|words| !parts.iter().any(|it| it == words));
            parts.push(match words {
                Some(words) => format!("{words} (reason {reason})"),
                None => format!("reason {reason}"),
            });
        }
        // No path was seen: this is all there is to go by.
        (Some("unknown"), _) if form.errno != 0 => parts.push(format!("errno {}", form.errno)),
        _ => {}
    }
    if form.inferred == Some(true) {
        parts.push("cause inferred".to_owned());
    }
}

fn span(ms: u64) -> String {
    age(Duration::from_millis(ms))
}

fn set(ms: u64) -> String {
    setting(Duration::from_millis(ms))
}
