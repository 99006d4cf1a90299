//! Arrays of the kernel side as memory of ours: read and written without a system call.
//!
//! # Invariants
//! Each word is read and written whole.

#![allow(
    unsafe_code,
    reason = "a BPF array mapped into memory is shared with the kernel"
)]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::{Map, MapData};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::bpf::Error;

/// An array made with BPF_F_MMAPABLE (Linux 5.5+), whose values stand one behind the other: their size
/// must be a multiple of 8 bytes.
pub struct MmapArray {
    words: NonNull<AtomicU64>,
    count: usize,
    /// Closing the map's descriptor would leave the memory, but say nothing of whose it is.
    _map: MapData,
}

// SAFETY: atomic words may be used from any thread, and the mapping lasts until this is dropped.
unsafe impl Send for MmapArray {}
// SAFETY: as above.
unsafe impl Sync for MmapArray {}

impl MmapArray {
    /// Maps an array of `entries` values of `T`.
    ///
    /// # Errors
    /// When there is no such array, or the kernel refuses.
    pub fn new<T>(map: Option<Map>, name: &'static str, entries: usize) -> Result<Self, Error> {
        const WORD: usize = size_of::<u64>();
        let Some(Map::Array(map)) = map else {
            return Err(Error::Object(format!("array {name}")));
        };
        let bytes = size_of::<T>() * entries;
        assert_eq!(size_of::<T>() % WORD, 0, "{name}: values of whole words");
        let fd = map.fd().as_fd();
        // SAFETY: a new mapping where the kernel likes; it refuses more than the array holds.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
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
            count: bytes / WORD,
            _map: map,
        })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for that many words, page-aligned, and only ever used as atomics here; the
        // kernel's programs change them by atomic additions, or while their runner waits.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    /// The value with this index; zeros past the end.
    pub fn read<T: FromBytes + FromZeros + IntoBytes + Immutable>(&self, index: usize) -> T {
        let mut value = T::new_zeroed();
        let words = size_of::<T>() / size_of::<u64>();
        let stand = self.words().iter().skip(index * words);
        for (bytes, word) in value.as_mut_bytes().chunks_exact_mut(8).zip(stand) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        value
    }

    /// Writes the first value.
    pub fn write<T: IntoBytes + Immutable>(&self, value: &T) {
        for (bytes, word) in value.as_bytes().chunks_exact(8).zip(self.words()) {
            let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
}

impl Drop for MmapArray {
    fn drop(&mut self) {
        // SAFETY: what was mapped, and nothing refers to it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}
