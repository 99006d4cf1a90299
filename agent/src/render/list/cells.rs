//! The columns of the table and what stands in them: one word each, so that scripts can cut them.
//! It must never shorten an address, nor pass on a character that a terminal might obey.

use std::{net::SocketAddr, time::Duration};

use crate::model::{
    connection::{Keepalive, Known, Setting, TimerKind, Unknown},
    detection::Detection,
    judged::Judged,
    liveness::{Evidence, Guard, Liveness, span::Span},
};

/// What stands in one place of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// Why a `?` stands in it.
    pub unknown: Option<Unknown>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            unknown: None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Where there is nothing to know or to tell.
const NOTHING: &str = "-";

/// A column.
#[derive(Debug)]
pub struct Column {
    pub title: &'static str,
    /// Figures stand at the right edge.
    pub right: bool,
    /// Where room is short, columns with the greatest rank go first.
    pub rank: usize,
    pub cell: fn(&Judged) -> Cell,
}

/// The rank of the reason as a column of its own: rather than without any column of a lesser rank,
/// it stands on a line of its own.
pub const RANK_OF_WHY: usize = 11;

/// Index of the column that is put on a line of its own where it finds no room.
pub const LOCAL: usize = 2;

/// Indices of the columns that are shown only where they tell something.
pub const OWNER: usize = 4;
pub const NETNS: usize = 5;

/// All columns, from left to right.
pub const COLUMNS: [Column; 14] = [
    column("VERDICT", false, 0, verdict),
    column("STATE", false, 4, |judged| {
        judged.connection.state.as_str().into()
    }),
    column("LOCAL", false, 2, |judged| {
        address(judged.connection.local).into()
    }),
    column("REMOTE", false, 1, |judged| {
        address(judged.connection.remote).into()
    }),
    column("OWNER", false, 5, |judged| {
        match judged.connection.owner.as_str() {
            "" => NOTHING.into(),
            owner => plain(owner).into(),
        }
    }),
    column("NETNS", true, 6, |judged| {
        judged.connection.netns.to_string().into()
    }),
    column("SILENT", true, 3, |judged| {
        known(judged.connection.silence(), age)
    }),
    column("IDLE", true, 12, |judged| {
        known(judged.connection.idle(), age)
    }),
    column("PROBES", false, 8, probes),
    column("KEEPALIVE", false, 10, |judged| {
        known(judged.connection.keepalive, keepalive)
    }),
    column("USER-TIMEOUT", true, 13, |judged| {
        known(judged.connection.user_timeout, |timeout| {
            timeout.map_or(NOTHING.to_owned(), setting)
        })
    }),
    column("DETECT", false, 7, detect),
    column("MEMORY", true, 9, |judged| {
        known(judged.connection.memory, size)
    }),
    column("TIMER", false, 14, |judged| {
        known(judged.connection.timer, |timer| {
            timer.map_or(NOTHING.to_owned(), |timer| {
                format!("{}:{}", self::timer(timer.kind), age(timer.left))
            })
        })
    }),
];

const fn column(
    title: &'static str,
    right: bool,
    rank: usize,
    cell: fn(&Judged) -> Cell,
) -> Column {
    Column {
        title,
        right,
        rank,
        cell,
    }
}

/// A fact, `?` where it is unknown, and nothing where there is no such fact.
fn known<T>(fact: Known<T>, show: impl FnOnce(T) -> String) -> Cell {
    match fact {
        Ok(fact) => show(fact).into(),
        Err(Unknown::NotOfThisKind) => NOTHING.into(),
        Err(unknown) => Cell {
            text: "?".to_owned(),
            unknown: Some(unknown),
        },
    }
}

fn verdict(judged: &Judged) -> Cell {
    let verdict = &judged.verdict;
    let mut text = verdict.liveness.as_str().to_owned();
    if let Liveness::Suspect(evidence) = verdict.liveness {
        text.push('/');
        text.push_str(evidence.as_str());
    }
    // One that is called unknown needs no question mark.
    let unknown = match verdict.liveness {
        Liveness::Idle(Guard::Unknown) => None,
        _ => verdict.unknown,
    };
    if unknown.is_some() {
        text.push('?');
    }
    Cell { text, unknown }
}

/// As `ss -n` writes it; port 0, which a listener's peer has, as `*`.
pub fn address(socket: SocketAddr) -> String {
    let text = socket.to_string();
    match text.strip_suffix(":0") {
        Some(address) => format!("{address}:*"),
        None => text,
    }
}

/// What went out and is not answered: keepalive or window probes, or retransmission timeouts.
fn probes(judged: &Judged) -> Cell {
    let connection = &judged.connection;
    known(connection.outstanding, |outstanding| {
        let evidence = match judged.verdict.liveness {
            Liveness::Suspect(evidence) => evidence,
            _ if outstanding.probes == 0 => Evidence::Retransmission,
            _ if outstanding.unsent > 0 => Evidence::WindowProbe,
            _ => Evidence::Keepalive,
        };
        match (evidence, outstanding.probes, outstanding.retransmits) {
            (Evidence::Keepalive, probes @ 1.., _) => {
                // TCP_USER_TIMEOUT takes the place of the limit (tcp_keepalive_timer()).
                match (connection.keepalive, connection.user_timeout) {
                    (Ok(keepalive), Ok(None)) => format!("keepalive:{probes}/{}", keepalive.probes),
                    _ => format!("keepalive:{probes}"),
                }
            }
            (Evidence::WindowProbe, probes @ 1.., _) => format!("window:{probes}"),
            (_, _, timeouts @ 1..) => format!("rto:{timeouts}"),
            _ => NOTHING.to_owned(),
        }
    })
}

fn keepalive(keepalive: Keepalive) -> String {
    let Keepalive {
        setting: kind,
        idle,
        interval,
        probes,
    } = keepalive;
    let settings = format!("{}/{}/{probes}", setting(idle), setting(interval));
    match kind {
        Setting::Off => kind.as_str().to_owned(),
        Setting::Default => format!("{}:{settings}", kind.as_str()),
        Setting::Custom => settings,
    }
}

/// Both figures, the one without data in flight first; one where they are the same, or where there
/// is but one.
fn detect(judged: &Judged) -> Cell {
    let paths = judged.detection;
    let show = |detection| match detection {
        Detection::Within(limit) => age(limit),
        Detection::Never => "never".to_owned(),
    };
    let (idle, data) = (known(paths.idle, show), known(paths.data, show));
    if idle == data || paths.data == Err(Unknown::NotOfThisKind) {
        idle
    } else if paths.idle == Err(Unknown::NotOfThisKind) {
        data
    } else {
        Cell {
            text: format!("{}/{}", idle.text, data.text),
            unknown: idle.unknown.or(data.unknown),
        }
    }
}

const fn timer(kind: TimerKind) -> &'static str {
    match kind {
        // As ss -o does, apart from "on", which tells nobody what is.
        TimerKind::Retransmission => "rto",
        TimerKind::Keepalive => "keepalive",
        TimerKind::TimeWait => "timewait",
        TimerKind::Persist => "persist",
    }
}

/// A length of time that went by or will, in two units at most.
fn age(age: Duration) -> String {
    Span(age).to_string().replace(' ', "")
}

/// A length of time that somebody has set: exact, in the largest unit that it is a whole number of.
fn setting(setting: Duration) -> String {
    let ms = setting.as_millis();
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
    ] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// Bytes, in powers of 1,024, rounded down.
fn size(bytes: u64) -> String {
    for (unit, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)] {
        let whole = bytes >> shift;
        if whole >= 10 {
            return format!("{whole}{unit}");
        }
        if whole > 0 {
            let tenths = ((bytes - (whole << shift)) * 10) >> shift;
            return format!("{whole}.{tenths}{unit}");
        }
    }
    format!("{bytes}B")
}

/// A name that came from elsewhere, with control characters, those that change the direction of
/// writing, and blanks written out.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        match c {
            // systemd writes backslashes in the names of its units: they stay as they are.
            '"' | '\'' | '\\' => plain.push(c),
            _ if c.is_whitespace() => plain.extend(c.escape_unicode()),
            _ => plain.extend(c.escape_debug()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_distinct() {
        let mut ranks: Vec<_> = COLUMNS.iter().map(|column| column.rank).collect();
        ranks.push(RANK_OF_WHY);
        ranks.sort_unstable();
        assert!(ranks.into_iter().eq(0..=COLUMNS.len()));
        assert_eq!(COLUMNS[LOCAL].title, "LOCAL");
        assert_eq!(COLUMNS[OWNER].title, "OWNER");
        assert_eq!(COLUMNS[NETNS].title, "NETNS");
    }

    #[test]
    fn settings_are_exact() {
        for (ms, expected) in [
            (0, "0ms"),
            (350, "350ms"),
            (1500, "1500ms"),
            (75_000, "75s"),
            (300_000, "5m"),
            (7_200_000, "2h"),
            (7_260_000, "121m"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(setting(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (2400, "2.3K"),
            (10_239, "9.9K"),
            (10_240, "10K"),
            (1 << 20, "1.0M"),
            ((5 << 30) - 1, "4.9G"),
            (u64::MAX, "16777215T"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn names_are_made_plain() {
        for (name, expected) in [
            ("nginx.service", "nginx.service"),
            (r"dev-disk\x2dby.mount", r"dev-disk\x2dby.mount"),
            ("a\nb\tc\u{1b}[31m", r"a\u{a}b\u{9}c\u{1b}[31m"),
            ("a b\u{a0}c", r"a\u{20}b\u{a0}c"),
            (
                "\u{202e}moc\u{2066}\u{200b}\u{feff}",
                r"\u{202e}moc\u{2066}\u{200b}\u{feff}",
            ),
            ("café'\"", "café'\""),
            ("\u{85}\u{2028}\u{7f}\0", r"\u{85}\u{2028}\u{7f}\0"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }

    #[test]
    fn addresses_stay_whole() {
        for (socket, expected) in [
            ("10.0.0.1:443", "10.0.0.1:443"),
            ("0.0.0.0:0", "0.0.0.0:*"),
            ("[::]:0", "[::]:*"),
            ("[::ffff:10.0.0.1]:10", "[::ffff:10.0.0.1]:10"),
            (
                "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
                "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            ),
        ] {
            assert_eq!(address(socket.parse().unwrap()), expected);
        }
    }
}
