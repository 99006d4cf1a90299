//! Tests that need root.
//!
//! # Invariants
//! - They change the machine's network and count what happens on it: one runs at a time
//!   (`--ignored --test-threads=1`).
//! - Expectations come from what a test did, the kernel and other tools, never from the agent.
//! - Processes, namespaces, cgroups and pins that a test makes end with it.
//! - A test that cannot run reports `skipped`, its name and the reason.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod commands;
mod fixtures;
mod hooks;
mod host;
mod serve;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
