//! Kernel side of halfopen: hooks that record what happens to TCP sockets.
//! It must never judge: no thresholds, no causes, no policy; those are the agent's model.
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
mod ending;
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
