//! Times as typed for an interval.

use std::time::Duration;

use halfopen_core::filter;

/// Parses `500ms`, `5s`, `1m` or `2h`, within what makes sense for an interval.
///
/// # Errors
/// When it is no duration, or out of bounds.
pub fn interval(typed: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(3600);
    let duration = filter::duration(typed)
        .map_err(|_| "expected a whole number and a unit: 500ms, 5s, 1m or 1h")?;
    if (LEAST..=MOST).contains(&duration) {
        Ok(duration)
    } else {
        Err("must be from 100ms to 1h".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        for (typed, expected) in [
            ("500ms", 500),
            ("5s", 5000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("100ms", 100),
        ] {
            assert_eq!(
                interval(typed),
                Ok(Duration::from_millis(expected)),
                "{typed}"
            );
        }
        for wrong in [
            "",
            "5",
            "s",
            "-5s",
            "0s",
            "99ms",
            "61m",
            "5 s",
            "5S",
            "99999999999999999999h",
            "1.5s",
        ] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
