//! Bits of the one word of the array `SWITCHES`: which events a shared program counts, so that none is
//! counted by two hooks.

/// `timer_expire_*` frames `tcp_keepalive_timer`.
pub const TIMER_KEEPALIVE: u32 = 1;
/// `timer_expire_*` frames `tcp_write_timer`.
pub const TIMER_WRITE: u32 = 2;
/// Probes are counted when a timer has run.
pub const TIMER_PROBES: u32 = 4;
/// Retransmission timeouts are counted when a timer has run.
pub const TIMER_RETRANSMISSIONS: u32 = 8;
/// `tcp_send_reset` counts active resets.
pub const TRACE_ACTIVE_RESETS: u32 = 16;
/// `tcp_send_reset` counts resets that answer a segment.
pub const TRACE_REPLY_RESETS: u32 = 32;
/// `timer_expire_*` frames `reqsk_timer_handler`.
pub const TIMER_REQUESTS: u32 = 64;
/// Somebody watches: every event is reported, not deaths alone.
pub const WATCHED: u32 = 128;
/// Above these bits stands which programs count: 0, or the generation of those that do. It is one
/// word, so that programs and what they count change hands at once.
pub const GENERATION_SHIFT: u32 = 32;
