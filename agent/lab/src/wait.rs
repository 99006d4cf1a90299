//! Waiting for what the kernel counts, not for time to pass.
//! It must never decide how long something takes: the limits are there for what never comes.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Error, interrupt};

/// Longer than any scenario on an emulated CPU by far.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(150);

/// What a look at the world gave.
pub(crate) enum Look<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; what is there instead.
    Seen(String),
}

/// Looks again and again until it is done.
pub(crate) fn until<T>(
    awaited: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Look<T>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        match look()? {
            Look::Done(value) => return Ok(value),
            Look::Seen(seen) if start.elapsed() > limit => {
                return Err(Error::Deadline {
                    awaited: awaited.to_owned(),
                    seen,
                    limit,
                });
            }
            Look::Seen(_) => thread::sleep(PAUSE),
        }
    }
}
