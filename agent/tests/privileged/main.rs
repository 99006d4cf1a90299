//! Tests that need root. They change the machine's network and count what happens on it: one runs at a
//! time (`--ignored --test-threads=1`).

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod commands;
mod fixtures;
mod hooks;
mod host;
mod serve;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
