//! Durations by fixed bounds.

use std::time::Duration;

/// Durations, by the first bound that was not exceeded, the last by none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const BUCKETS: usize> {
    /// How many.
    pub counts: [u64; BUCKETS],
    /// Their sum.
    pub sum: Duration,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: Duration::ZERO,
        }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.sum += other.sum;
    }

    /// Takes off a part.
    pub fn subtract(&mut self, part: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(part.counts) {
            *sum = sum.saturating_sub(count);
        }
        self.sum = self.sum.saturating_sub(part.sum);
    }
}
