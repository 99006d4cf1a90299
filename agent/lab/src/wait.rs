//! Waiting for what the kernel counts, not for time to pass: the limits are for what never comes.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Error, interrupt};

/// Longer than any scenario on an emulated CPU by far.
pub const LIMIT: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(150);

/// What one look gave: what is awaited, or not yet.
#[derive(Debug)]
pub enum Awaited<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; what is there instead.
    NotYet(String),
}

/// Looks again and again until it is done.
///
/// # Errors
/// When a look fails, a signal has come, or `limit` is over.
pub fn until<T>(
    awaited: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Awaited<T>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        match look()? {
            Awaited::Done(value) => return Ok(value),
            Awaited::NotYet(seen) if start.elapsed() > limit => {
                return Err(Error::Deadline {
                    awaited: awaited.to_owned(),
                    seen,
                    limit,
                });
            }
            Awaited::NotYet(_) => thread::sleep(PAUSE),
        }
    }
}
