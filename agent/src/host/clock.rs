//! The kernel's clocks.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the clock shows.
pub fn now(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// The clock of records and events: CLOCK_MONOTONIC, nanoseconds.
pub fn monotonic_ns() -> u64 {
    u64::try_from(now(ClockId::Monotonic).as_nanos()).unwrap_or(u64::MAX)
}
