//! What the facts mean: pure functions from readings to figures.

pub mod accounting;
pub mod assessed;
pub mod census;
pub mod connection;
pub mod coverage;
pub mod death;
pub mod deaths;
pub mod detection;
pub mod event;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;
pub mod glob;
pub mod group;
pub mod groups;
pub mod histogram;
pub mod hook;
pub mod liveness;
pub mod owner;
pub mod ports;
pub mod snapshot;
