//! Reads of memory that may be anything: the kernel's helper refuses what it cannot read.
//! It must never be given an offset that the agent did not take from BTF.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use halfopen_common::ABSENT;

/// The eight bytes there.
#[inline(always)]
pub fn word(address: u64) -> Option<u64> {
    // SAFETY: the helper checks the access itself and fails on bad memory.
    unsafe { bpf_probe_read_kernel(address as *const u64) }.ok()
}

/// Reads fields of one kernel object straight into their places; one look at the end tells whether
/// all could be read.
pub struct Reader {
    object: u64,
    failed: i64,
}

impl Reader {
    #[inline(always)]
    pub fn of(object: u64) -> Self {
        Self { object, failed: 0 }
    }

    /// A field; one that this kernel does not have leaves its place as it is.
    #[inline(always)]
    pub fn field<T>(&mut self, place: *mut T, offset: u32) {
        if offset != ABSENT {
            self.bytes(place.cast(), offset, size_of::<T>() as u32);
        }
    }

    /// So many bytes.
    #[inline(always)]
    pub fn bytes(&mut self, place: *mut u8, offset: u32, size: u32) {
        let from = self.object.wrapping_add(u64::from(offset));
        // SAFETY: `place` has room for `size` bytes; the helper checks the source.
        self.failed |=
            unsafe { generated::bpf_probe_read_kernel(place.cast(), size, from as *const _) };
    }

    /// Whether everything could be read.
    #[inline(always)]
    pub fn ok(&self) -> bool {
        self.failed == 0
    }
}
