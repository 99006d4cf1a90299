//! A length of time in a few characters, for people: "350 ms", "4.1 s", "5m10s", "2h11m", "3d4h".
//!
//! # Invariants
//! Nothing is rounded up: an age or a bound that is shown has been reached.

use std::{fmt, time::Duration};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A length of time, to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = match seconds {
            0 if self.0.is_zero() => "0 s".to_owned(),
            0 if self.0.as_millis() == 0 => "<1 ms".to_owned(),
            0 => format!("{} ms", self.0.subsec_millis()),
            1..10 => match self.0.subsec_millis() / 100 {
                0 => format!("{seconds} s"),
                tenths => format!("{seconds}.{tenths} s"),
            },
            10..MINUTE => format!("{seconds} s"),
            MINUTE..HOUR => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
            HOUR..DAY => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
            DAY.. => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        };
        f.pad(&text)
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(milliseconds: u64, expected: &str) {
        assert_eq!(
            Span(Duration::from_millis(milliseconds)).to_string(),
            expected
        );
    }

    #[test]
    fn two_units_at_most() {
        check(0, "0 s");
        check(1, "1 ms");
        check(350, "350 ms");
        check(999, "999 ms");
        check(1_000, "1 s");
        check(4_199, "4.1 s");
        check(9_999, "9.9 s");
        check(11_900, "11 s");
        check(59_999, "59 s");
        check(60_000, "1m");
        check(310_000, "5m10s");
        check(3_599_999, "59m59s");
        check(7_200_000, "2h");
        check(7_875_000, "2h11m");
        check(86_399_000, "23h59m");
        check(86_400_000, "1d");
        check(76 * 3_600_000, "3d4h");
        assert_eq!(Span(Duration::from_micros(300)).to_string(), "<1 ms");
        assert_eq!(Span(Duration::MAX).to_string(), "213503982334601d7h");
    }

    #[test]
    fn it_fills_a_column() {
        assert_eq!(format!("{:>6}|", Span(Duration::from_secs(11))), "  11 s|");
    }
}
