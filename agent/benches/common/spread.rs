//! Many figures of one thing, said in three.
//!
//! # Invariants
//! No means: one disturbed round would move them.

use std::fmt;

/// They are zero where there was no figure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let middle = values.len() / 2;
        Self {
            min: *min,
            median: f64::midpoint(values[middle], values[values.len() - 1 - middle]),
            max: *max,
        }
    }
}

/// As a ratio is shown.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        f.pad(&format!("{median:.2} ({min:.2} … {max:.2})"))
    }
}
