//! Tests that need no root and no kernel program.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod commands;
mod fixtures;
mod layout;
mod metrics;
mod queries;
mod render;
mod serve;
#[path = "../support/mod.rs"]
mod support;
