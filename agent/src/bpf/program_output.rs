//! Runs programs that hand something out, and reads what they handed out: whole maps among it.
//! It must never take half an entry for one, nor go round without end.

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use halfopen_common::DUMP_STOPPED;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Error, maps, programs};

/// What a program does with the entries of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// They stay: a program that goes on must pass over those it handed out.
    Kept,
    /// They are removed.
    Taken,
}

/// The ring buffer through which they hand out.
pub struct Handed(RingBuf<MapData>);

impl Handed {
    /// Takes it out of the loaded object.
    ///
    /// # Errors
    /// When the object has none.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        maps::take(ebpf, "WALKED").map(Self)
    }

    /// Runs a loaded program once; what it returned. `each` gets what it handed out.
    ///
    /// # Errors
    /// Why the kernel would not run it.
    pub fn run(
        &mut self,
        ebpf: &Ebpf,
        name: &str,
        arguments: [u64; 2],
        mut each: impl FnMut(&[u8]),
    ) -> Result<u32, String> {
        let returned = programs::run(ebpf, name, arguments)?;
        while let Some(item) = self.0.next() {
            each(&item);
        }
        Ok(returned)
    }

    /// Runs a program that goes through a map until it has; the entries it passed.
    ///
    /// What is put in or removed meanwhile may be met twice or not at all: of a map that changes, no
    /// way of reading tells more.
    ///
    /// # Errors
    /// Why the kernel would not run it, or that it does not get on.
    pub fn through(
        &mut self,
        ebpf: &Ebpf,
        name: &str,
        argument: u64,
        entries: Entries,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u32, String> {
        let mut skip = 0;
        loop {
            let returned = self.run(ebpf, name, [u64::from(skip), argument], &mut each)?;
            let passed = returned & !DUMP_STOPPED;
            if returned & DUMP_STOPPED == 0 {
                return Ok(passed);
            }
            if passed <= skip {
                return Err(format!("it does not get past entry {passed}"));
            }
            if entries == Entries::Kept {
                skip = passed;
            }
        }
    }

    /// Every entry of a map whose program hands out each key and then its value.
    ///
    /// # Errors
    /// As [`Self::through`].
    pub fn pairs<K, V>(
        &mut self,
        ebpf: &Ebpf,
        name: &str,
        entries: Entries,
    ) -> Result<BTreeMap<K, V>, String>
    where
        K: FromBytes + KnownLayout + Immutable + Ord + Copy,
        V: FromBytes + KnownLayout + Immutable,
    {
        let mut pairs = BTreeMap::new();
        let mut key = None;
        self.through(ebpf, name, 0, entries, |item| match key.take() {
            None => key = K::read_from_bytes(item).ok(),
            Some(key) => pairs.extend(V::read_from_bytes(item).ok().map(|value| (key, value))),
        })?;
        Ok(pairs)
    }
}
