//! The kernel's clocks.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};

use crate::kernel::kernel;

/// Monotonic nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes no pointer.
    unsafe { bpf_ktime_get_ns() }
}

/// Monotonic milliseconds: the clock of `retrans_stamp` (`tcp_clock_ms`).
#[inline(always)]
pub fn clock_ms() -> u32 {
    (now_ns() / 1_000_000) as u32
}

/// Low 32 bits of jiffies, the clock of the sockets' own time stamps.
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_jiffies64() as u32 }
}

/// That many jiffies in nanoseconds; `None` where the length of one is not known.
#[inline(always)]
pub fn span_ns(jiffies: u32) -> Option<u64> {
    let jiffy: u64 = kernel!(jiffy_ns);
    (jiffy != 0).then(|| u64::from(jiffies) * jiffy)
}
