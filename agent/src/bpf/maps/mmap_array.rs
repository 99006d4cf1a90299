//! Arrays of the kernel side as memory of ours: read and written without a system call.
//!
//! # Invariants
//! Each word is read and written whole.

use std::sync::atomic::Ordering;

use aya::maps::{Map, MapData};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::shared_words::SharedWords;
use crate::bpf::Error;

/// An array made with BPF_F_MMAPABLE (Linux 5.5+), whose values stand one behind the other: their size
/// must be a multiple of 8 bytes.
pub struct MmapArray {
    memory: SharedWords,
    /// Closing the map's descriptor would leave the memory, but say nothing of whose it is.
    _map: MapData,
}

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
        Ok(Self {
            memory: SharedWords::map(map.fd(), name, bytes, true)?,
            _map: map,
        })
    }

    /// The value with this index; zeros past the end.
    pub fn read<T: FromBytes + FromZeros + IntoBytes + Immutable>(&self, index: usize) -> T {
        let mut value = T::new_zeroed();
        let words = size_of::<T>() / size_of::<u64>();
        let stand = self.memory.words().iter().skip(index * words);
        for (bytes, word) in value.as_mut_bytes().chunks_exact_mut(8).zip(stand) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        value
    }

    /// Writes the first value.
    pub fn write<T: IntoBytes + Immutable>(&self, value: &T) {
        for (bytes, word) in value.as_bytes().chunks_exact(8).zip(self.memory.words()) {
            let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
}
