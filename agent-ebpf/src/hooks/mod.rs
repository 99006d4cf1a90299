//! One small file a hook; each entry point calls what all mechanisms share.
//! It must never let two mechanisms count one event: `SWITCHES` says which programs count what.

mod active_reset;
mod destroy;
mod keepalive_timer;
mod probe;
mod reply_reset;
mod request_timer;
mod reset_received;
mod retransmit_timer;
mod set_state;
mod timer_expire;
mod trace_reset;
mod write_timer;
