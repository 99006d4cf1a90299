//! What the facts mean: pure functions from readings to figures.
//! It must never read a clock, a file, a socket or the environment.

pub mod accounting;
pub mod budget;
pub mod census;
pub mod connection;
pub mod death;
pub mod deaths;
pub mod detection;
pub mod event;
pub mod groups;
pub mod judged;
pub mod liveness;
pub mod owner;
pub mod silences;
pub mod snapshot;
