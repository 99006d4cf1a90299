//! What conditions compare with: numbers, durations, sizes, names with asterisks.
//!
//! # Invariants
//! Nothing is rounded: what cannot be held exactly is refused.

use std::time::Duration;

/// How a fact is held against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

impl Comparison {
    pub fn holds<T: Ord>(self, fact: &T, value: &T) -> bool {
        match self {
            Self::Equal => fact == value,
            Self::NotEqual => fact != value,
            Self::Less => fact < value,
            Self::Greater => fact > value,
            Self::AtMost => fact <= value,
            Self::AtLeast => fact >= value,
        }
    }

    /// Whether it asks for the same or not the same, and nothing about more or less.
    pub const fn is_of_identity(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// What a duration looks like.
pub const DURATION: &str = "a duration is a whole number and a unit: 500ms, 5s, 1m, 2h or 3d";

/// What a size looks like.
pub const SIZE: &str =
    "a size is a whole number of bytes, or of 1,024 and its powers: 512, 64k, 1m or 2g";

pub fn duration(typed: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(typed)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// Bytes.
pub fn size(typed: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(typed)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// A whole number without sign, blanks or exponent.
pub fn number(typed: &str) -> Option<u64> {
    match number_and_unit(typed)? {
        (number, "") => Some(number),
        _ => None,
    }
}

fn number_and_unit(typed: &str) -> Option<(u64, &str)> {
    let digits = typed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(typed.len());
    let (number, unit) = typed.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (typed, ms) in [
            ("500ms", 500),
            ("0s", 0),
            ("5s", 5000),
            ("1m", 60_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
        ] {
            assert_eq!(duration(typed), Some(Duration::from_millis(ms)), "{typed}");
        }
        for wrong in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "1.5h",
            "5 s",
            "5S",
            "1h30m",
            "1w",
            "h1",
            "٣s",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        for (typed, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("1m", 1 << 20),
            ("2G", 2 << 30),
        ] {
            assert_eq!(size(typed), Some(bytes), "{typed}");
        }
        for wrong in ["", "k", "-1", "1.5k", "1kb", "18446744073709551615k", "1 k"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
