//! Comparing what was counted and reported with what must have been.

pub mod assessment;
pub mod census;
pub mod counterparts;
pub mod counts;
pub mod expectations;
pub mod liveness;
pub mod observed;
pub mod settle;
pub mod totals;
