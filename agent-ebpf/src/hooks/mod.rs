//! One small file a hook; each entry point calls what all mechanisms share.
//!
//! # Invariants
//! No two mechanisms count one event: `SWITCHES` decides which programs count what.

mod accept;
mod destroy;
mod error_report;
mod probe;
mod reset;
mod set_state;
mod syn_cookie;
mod timer;
