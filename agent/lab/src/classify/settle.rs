//! Assesses again and again until the agent's counts have settled.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Error, interrupt};

const ASSESS_EVERY: Duration = Duration::from_millis(500);

/// How long right counts must stay right: an event that is counted twice comes late.
const STAYS_RIGHT: Duration = Duration::from_secs(2);

/// How long counts that are short, but accounted for, must stay the same: more than two of the agent's
/// readings of the kernel's counters, every 5 s by default.
const STAYS_SHORT: Duration = Duration::from_secs(12);

/// The same for wrong counts: on a slow machine each of those readings takes its time.
const STAYS_WRONG: Duration = Duration::from_secs(45);

/// When counts that never settle are assessed as they are.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// How an assessment came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// Nothing is wrong and nothing is missing.
    Right,
    /// Something is missing, but accounted for.
    Short,
    /// Something is wrong.
    Wrong,
}

impl Grade {
    const fn must_stay(self) -> Duration {
        match self {
            Self::Right => STAYS_RIGHT,
            Self::Short => STAYS_SHORT,
            Self::Wrong => STAYS_WRONG,
        }
    }
}

/// Assesses until the result has stayed the same for long enough.
///
/// # Errors
/// When an assessment fails, or a signal has come.
pub fn settle<T>(
    mut assess: impl FnMut() -> Result<T, Error>,
    is_same: impl Fn(&T, &T) -> bool,
    grade: impl Fn(&T) -> Grade,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut since = started;
    let mut last: Option<T> = None;
    loop {
        interrupt::check()?;
        let now = assess()?;
        if !last.as_ref().is_some_and(|last| is_same(last, &now)) {
            since = Instant::now();
        }
        let has_settled = since.elapsed() >= grade(&now).must_stay();
        if has_settled || started.elapsed() > SETTLES_WITHIN {
            return Ok(now);
        }
        last = Some(now);
        thread::sleep(ASSESS_EVERY);
    }
}
