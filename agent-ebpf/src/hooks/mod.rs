//! One small file a hook; each entry point calls what all mechanisms share.
//!
//! # Invariants
//! No two mechanisms count one event: `SWITCHES` decides which programs count what.

mod active_reset;
mod destroy;
mod error_report;
mod keepalive_timer;
mod netfilter_reset;
mod probe;
mod reply_reset;
mod request_timer;
mod reset_received;
mod retransmit_timer;
mod set_state;
mod syn_cookie;
mod timer_expire;
mod timer_hook;
mod trace_reset;
mod write_timer;
