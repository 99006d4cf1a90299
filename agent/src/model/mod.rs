//! What the facts mean: pure functions from readings to figures.
//! It must never read a clock, a file, a socket or the environment.

pub mod accounting;
pub mod death;
pub mod groups;
pub mod snapshot;
