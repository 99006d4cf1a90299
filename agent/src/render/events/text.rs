//! One aligned line an event, for people.
//! It must never break an address, nor a line: what is wider than its column moves the rest.

use std::{borrow::Cow, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use super::form::Form;
use crate::render::{
    facts::Address,
    words::{age, counted, plain, setting, size},
};

/// How to write lines.
#[derive(Debug, Clone)]
pub struct Options {
    /// In whose time.
    pub zone: TimeZone,
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
            clock(&form.time, &self.options.zone),
            form.what.to_string(),
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
        let told = counted(events, "event");
        self.line(
            out,
            &cells,
            &format!("{told} dropped: more came than could be passed on"),
            "\u{1b}[35m",
        );
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

/// Hours to milliseconds, in the reader's time.
fn clock(time: &str, zone: &TimeZone) -> String {
    time.parse::<Timestamp>().map_or_else(
        |_| plain(time),
        |time| {
            time.to_zoned(zone.clone())
                .strftime("%H:%M:%S.%3f")
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
        (Some(cause), Some(path)) if cause == "user_timeout" => format!("{cause}/{path}"),
        (Some(cause), _) => plain(cause),
    }
}

fn address(address: &Address) -> String {
    let Address { address, port } = address;
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// The figures that matter, the most telling first.
fn detail(form: &Form) -> String {
    let mut parts = Vec::new();
    if form.direction != "none" {
        parts.push(Cow::from(form.state.to_string()));
    }
    if form.orphaned {
        parts.push("orphan".into());
    }
    match form.silence_ms {
        Some(silence) if form.what == "answer" => {
            parts.push(format!("heard {} ago", span(silence)).into());
        }
        Some(silence) => parts.push(format!("silent {}", span(silence)).into()),
        None if form.direction == "none" => {}
        None if form.state == "syn_sent" || form.state == "syn_recv" => {
            parts.push("never heard".into());
        }
        None => parts.push("silent ?".into()),
    }
    parts.extend(sent(form).map(Cow::Owned));
    if form.is_death() {
        certificate(form, &mut parts);
    }
    parts.join(", ")
}

/// What went out without an answer, this event's own probe or timeout included.
fn sent(form: &Form) -> Option<String> {
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

/// What a death's certificate tells besides.
fn certificate(form: &Form, parts: &mut Vec<Cow<'static, str>>) {
    for (number, noun) in [
        (form.keepalive_probes, "keepalive probe"),
        (form.window_probes, "window probe"),
        (form.retransmission_timeouts, "timeout"),
    ] {
        match number {
            Some(0) => {}
            Some(number) => parts.push(counted(number.into(), noun).into()),
            None => {}
        }
    }
    parts.push(
        form.age_ms
            .map_or("age ?".into(), |age| format!("age {}", span(age)).into()),
    );
    for (bytes, what) in [
        (form.unacknowledged_bytes, "unacknowledged"),
        (form.unread_bytes, "unread"),
    ] {
        if let Some(bytes @ 1..) = bytes {
            parts.push(format!("{} {what}", size(bytes.into())).into());
        }
    }
    match &form.keepalive {
        Some(keepalive) if keepalive.setting == "off" => parts.push("keepalive off".into()),
        Some(keepalive) => parts.push(
            format!(
                "keepalive {}/{}/{}",
                set(keepalive.idle_ms),
                set(keepalive.interval_ms),
                keepalive.probes
            )
            .into(),
        ),
        None => {}
    }
    if let Some(timeout @ 1..) = form.user_timeout_ms {
        parts.push(format!("user timeout {}", set(timeout)).into());
    }
    if form.cause.as_deref() != Some("reset_sent") || form.reason.is_none() {
        return;
    }
    let reason = form.reason.as_deref().unwrap_or_default();
    parts.push(format!("reset for {}", plain(reason)).into());
}

fn span(ms: u64) -> String {
    age(Duration::from_millis(ms))
}

fn set(ms: u64) -> String {
    setting(Duration::from_millis(ms))
}
