//! halfopen: watches TCP connections die, and says why.
//! The stages of the flow are the modules; nothing outside `kernel` may name aya or use `unsafe`.

pub mod cli;
pub mod commands;
pub mod filter;
pub mod host;
pub mod kernel;
pub mod metrics;
pub mod model;
pub mod render;
pub mod serve;
