//! How far a ring buffer was written and read.
//!
//! # Invariants
//! Nothing is written.

use std::sync::atomic::{Ordering, fence};

use aya::maps::Map;

use super::shared_words::SharedWords;
use crate::bpf::{Error, loaded_object::Object};

/// The positions of a ring buffer: bytes since it was made. The kernel shows each in a page of its own, the
/// reader's first (kernel/bpf/ringbuf.c, `struct bpf_ringbuf`).
pub struct RingPositions {
    pages: SharedWords,
    page_size: usize,
}

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
        Ok(Self {
            pages: SharedWords::map(map.fd(), name, 2 * page_size, false)?,
            page_size,
        })
    }

    /// What was read before was written before this position, if programs write before they count.
    pub fn written(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.word(self.page_size / size_of::<u64>())
    }

    /// Up to where it was read.
    pub fn read(&self) -> u64 {
        self.word(0)
    }

    fn word(&self, index: usize) -> u64 {
        let word = self.pages.words().get(index);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }
}
