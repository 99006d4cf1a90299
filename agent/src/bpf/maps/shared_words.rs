//! Memory of a BPF map as words of ours, without a system call for each.
//!
//! # Invariants
//! Each word is read and written whole.

#![allow(
    unsafe_code,
    reason = "the memory of a mapped BPF map is shared with the kernel"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
    ptr::{self, NonNull},
    sync::atomic::AtomicU64,
};

use crate::bpf::Error;

/// The beginning of a map's memory; it is there until this is dropped, whatever becomes of the map's
/// descriptor.
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: atomic words may be used from any thread, and the mapping lasts until this is dropped.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps so many bytes, to be written too or only read.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn map(
        map: impl AsFd,
        name: &'static str,
        bytes: usize,
        is_written: bool,
    ) -> Result<Self, Error> {
        let write = if is_written { libc::PROT_WRITE } else { 0 };
        // SAFETY: a new mapping where the kernel likes; it refuses more than the map holds.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | write,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        let refused = || Error::Mapping {
            name,
            source: io::Error::last_os_error(),
        };
        if address == libc::MAP_FAILED {
            return Err(refused());
        }
        Ok(Self {
            words: NonNull::new(address.cast()).ok_or_else(refused)?,
            count: bytes / size_of::<u64>(),
        })
    }

    /// All of them. Those that were mapped to be read may only be loaded.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for that many words, page-aligned, and only ever used as atomics here; the
        // kernel and its programs change them by whole words, or while their runner waits.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: what was mapped, and nothing refers to it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}
