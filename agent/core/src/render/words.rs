//! Words and figures that several views write alike.
//!
//! # Invariants
//! No address is shortened, and no control character reaches the terminal.

use std::{net::SocketAddr, time::Duration};

use crate::model::{
    connection::{Keepalive, Setting},
    liveness::span::Span,
};

/// As `ss -n` writes it; port 0, which a listener's peer has, as `*`.
pub fn address(socket: SocketAddr) -> String {
    let text = socket.to_string();
    match text.strip_suffix(":0") {
        Some(address) => format!("{address}:*"),
        None => text,
    }
}

/// Settings of keepalive: `off`, or idle time, interval and probes.
pub fn keepalive(keepalive: Keepalive) -> String {
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

/// A length of time that went by or will, in two units at most.
pub fn age(age: Duration) -> String {
    Span(age).to_string().replace(' ', "")
}

/// A length of time that somebody has set: exact, in the largest unit that it is a whole number of.
pub fn setting(setting: Duration) -> String {
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
pub fn size(bytes: u64) -> String {
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
pub fn plain(name: &str) -> String {
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

/// A name that may be any bytes: what is no UTF-8 is written out too, and so is what stands between
/// names, since whoever chose this one may want it to look like several.
pub fn plain_bytes(name: &[u8], separators: &[char]) -> String {
    let mut plain_name = String::new();
    for chunk in name.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(separators) {
            let name = piece.strip_suffix(separators).unwrap_or(piece);
            plain_name.push_str(&plain(name));
            plain_name.extend(piece[name.len()..].chars().flat_map(char::escape_unicode));
        }
        for byte in chunk.invalid() {
            plain_name.push_str(&format!("\\x{byte:02x}"));
        }
    }
    plain_name
}

/// `1,204 connections`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// `1,204`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn names_of_any_bytes_are_made_plain() {
        for (name, expected) in [
            (&b"nginx"[..], "nginx"),
            (b"", ""),
            (b"\xff\xfe\x80", r"\xff\xfe\x80"),
            ("é\u{1b}[2J".as_bytes(), r"é\u{1b}[2J"),
            // The first of two bytes, cut off by the kernel's limit of 15.
            (b"caf\xc3", r"caf\xc3"),
            (b"a:1:2,sshd", r"a\u{3a}1\u{3a}2\u{2c}sshd"),
            (b",\n:", r"\u{2c}\u{a}\u{3a}"),
        ] {
            assert_eq!(plain_bytes(name, &[':', ',']), expected);
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

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(counted(1, "time"), "1 time");
        assert_eq!(counted(0, "time"), "0 times");
    }
}
