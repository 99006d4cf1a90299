//! When something costly may be done again: it pays off its own last run first.
//!
//! # Invariants
//! Work takes at most 2 % of one processor, unless its longest interval is reached.

use std::time::{Duration, Instant};

/// A run is paid off after this many times its own duration: 2 % of one processor.
const PACE: u32 = 50;
/// What was done less than this ago is not done again.
const FRESH: Duration = Duration::from_millis(200);

/// The clock of one kind of work.
#[derive(Debug, Clone, Copy, Default)]
pub struct DutyCycle(Option<Instant>);

impl DutyCycle {
    /// Whether it is time.
    pub fn is_due(self) -> bool {
        self.0.is_none_or(|next| Instant::now() >= next)
    }

    /// It was done, having begun then; it is due again after `longest` at the latest.
    pub fn done(&mut self, began: Instant, longest: Duration) {
        let now = Instant::now();
        self.0 = Some(now + FRESH.max((now - began) * PACE).min(longest));
    }
}
