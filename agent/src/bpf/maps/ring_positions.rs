//! How far a ring buffer was written and read.
//!
//! # Invariants
//! Nothing is written.

#![allow(
    unsafe_code,
    reason = "the positions of a ring buffer are memory that is shared with the kernel"
)]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering, fence},
};

use aya::maps::Map;

use crate::bpf::{Error, loaded_object::Object};

/// The positions of a ring buffer: bytes since it was made. The kernel shows each in a page of its own, the
/// reader's first (kernel/bpf/ringbuf.c, `struct bpf_ringbuf`).
pub struct RingPositions {
    pages: NonNull<u8>,
    page_size: usize,
}

// SAFETY: atomic words may be used from any thread, and the mapping lasts until this is dropped.
unsafe impl Send for RingPositions {}
// SAFETY: as above.
unsafe impl Sync for RingPositions {}

impl RingPositions {
    /// Those of a ring buffer that nobody has taken out of the object yet.
    ///
    /// # Errors
    /// When there is no such buffer, or the kernel refuses.
    pub fn of(object: &Object, name: &'static str) -> Result<Self, Error> {
        let Some(Map::RingBuf(map)) = object.ebpf.map(name) else {
            return Err(Error::Object(format!("ring buffer {name}")));
        };
        let page_size = rustix::param::page_size();
        // SAFETY: a new mapping where the kernel likes; it outlives the descriptor.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * page_size,
                libc::PROT_READ,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
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
            pages: NonNull::new(address.cast()).ok_or_else(refused)?,
            page_size,
        })
    }

    /// What was read before was written before this position, if programs write before they count.
    pub fn written(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.word(self.page_size)
    }

    /// Up to where it was read.
    pub fn read(&self) -> u64 {
        self.word(0)
    }

    fn word(&self, offset: usize) -> u64 {
        // SAFETY: the first word of a mapped page.
        let word = unsafe { self.pages.add(offset) }.cast::<AtomicU64>();
        // SAFETY: mapped until this is dropped, aligned, and only ever used as an atomic here.
        unsafe { word.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for RingPositions {
    fn drop(&mut self) {
        // SAFETY: what was mapped, and nothing refers to it any more.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), 2 * self.page_size) };
    }
}
