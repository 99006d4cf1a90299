//! Kernel side of halfopen: hooks that record what happens to TCP sockets, and programs that the agent
//! runs to read every socket.
//!
//! What the programs classify, always by the kernel's code path or the socket's own fields, never by a
//! cause (the agent's model maps paths to causes):
//!
//! - the ending of a connection: inside a timer's run ([`ending`]), outside one (`hooks/set_state.rs`), by
//!   a reset (`hooks/active_reset.rs`, `hooks/reset_received.rs`), or of a request ([`request`]);
//! - the reason of a reset, where the kernel reports none (`hooks/active_reset.rs`);
//! - who opened a connection ([`sock::Sock::direction`]);
//! - whether a probe was answered, and whether that is a recovery ([`record`]);
//! - where only timers can be hooked, whether one probed or retransmitted ([`ending`]);
//! - a change to CLOSE that no program saw, by two bounds of time ([`timer_context`]);
//! - the silence before a death, into fixed buckets ([`maps::silence`]);
//! - sockets with nothing outstanding, into classes that are summed (`walk/sum.rs`);
//! - a connect that found no local port (`hooks/set_state.rs`).
//!
//! # Invariants
//! One threshold of the user's reaches the programs: [`halfopen_common::WalkProgress::quiet_jiffies`]. It sets
//! one bit of a class, so that the model need not see each socket of it. Tests of agent-common hold
//! this, and which file names which ending.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "by value, what a map starts from would be copied to the stack, which has no room"
)]
#![allow(
    internal_features,
    reason = "atomic_xadd: AtomicU64::fetch_add does not exist for bpf"
)]

mod clock;
mod death;
mod event_record;
mod fields;
mod hooks;
mod identity;
mod kernel;
mod maps;
mod read;
mod record;
mod request;
mod segment;
mod sock;
mod socket_holders;
mod start_times;
mod timer_context;
mod walk;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Tracing helpers (`bpf_probe_read_kernel`, …) are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
