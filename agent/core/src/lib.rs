//! What the facts about TCP connections mean: pure functions from readings to figures, and the forms in
//! which people and programs get them.
//!
//! # Invariants
//! Nothing here reads a clock, a file, a socket, the environment or the time zone: each is an argument.
//! The manifest, `clippy.toml` and the architecture tests check it.

#![forbid(unsafe_code)]

pub mod filter;
pub mod metrics;
pub mod model;
pub mod render;
