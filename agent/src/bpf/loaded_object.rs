//! The loaded object: its programs that are run, never attached, and its maps.
//!
//! # Invariants
//! An item cut short is never taken for a whole one, and a dump that makes no progress ends with an error.

use std::{collections::BTreeMap, fs::File};

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError, RingBuf},
};
use halfopen_common::DUMP_STOPPED;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Error, maps::mmap_array::MmapArray, prog_info::ProgramStatistics, programs};

/// What a program does with the entries of the map that it dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// They stay: a program that goes on must pass over those it wrote before.
    Kept,
    /// They are removed.
    Taken,
}

/// The loaded object; dropping it takes its programs out of the kernel, unless they are pinned.
pub struct Object {
    pub(super) ebpf: Ebpf,
    /// Where programs that are run write what they read.
    output: RingBuf<MapData>,
}

impl Object {
    /// Wraps what aya has loaded.
    ///
    /// # Errors
    /// When the object lacks the map by which its programs answer.
    pub(super) fn of(mut ebpf: Ebpf) -> Result<Self, Error> {
        let output = take_map(&mut ebpf, "WALKED")?;
        Ok(Self { ebpf, output })
    }

    /// Takes a map out of the object.
    ///
    /// # Errors
    /// When there is none of this name, or it is of another kind.
    pub(super) fn map<T: TryFrom<Map, Error = MapError>>(
        &mut self,
        name: &'static str,
    ) -> Result<T, Error> {
        take_map(&mut self.ebpf, name)
    }

    /// Maps an array of `entries` values of `T` into memory.
    ///
    /// # Errors
    /// When there is no such array, or the kernel refuses.
    pub fn array<T>(&mut self, name: &'static str, entries: usize) -> Result<MmapArray, Error> {
        MmapArray::new::<T>(self.ebpf.take_map(name), name, entries)
    }

    /// Loads a program that [`Self::run`] and [`Self::dump`] run.
    ///
    /// # Errors
    /// Why the kernel would not.
    pub fn load_to_run(&mut self, name: &str) -> Result<(), String> {
        programs::load_to_run(&mut self.ebpf, name)
    }

    /// Runs a loaded program once; what it returned. `each` gets what it wrote.
    ///
    /// # Errors
    /// Why the kernel would not run it.
    pub fn run(
        &mut self,
        name: &str,
        arguments: [u64; 2],
        mut each: impl FnMut(&[u8]),
    ) -> Result<u32, String> {
        let returned = programs::run(&self.ebpf, name, arguments)?;
        while let Some(item) = self.output.next() {
            each(&item);
        }
        Ok(returned)
    }

    /// Runs a program that dumps a map until it has; the number of entries it passed.
    ///
    /// What is inserted or removed meanwhile may be seen twice or not at all: of a map that changes, no
    /// way of reading is better.
    ///
    /// # Errors
    /// Why the kernel would not run it, or that it makes no progress.
    pub fn dump(
        &mut self,
        name: &str,
        argument: u64,
        entries: Entries,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u32, String> {
        let mut skip = 0;
        loop {
            let returned = self.run(name, [u64::from(skip), argument], &mut each)?;
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

    /// Every entry of a map whose program writes each key and then its value.
    ///
    /// # Errors
    /// As [`Self::dump`].
    pub fn pairs<K, V>(&mut self, name: &str, entries: Entries) -> Result<BTreeMap<K, V>, String>
    where
        K: FromBytes + KnownLayout + Immutable + Ord + Copy,
        V: FromBytes + KnownLayout + Immutable,
    {
        let mut pairs = BTreeMap::new();
        let mut key = None;
        self.dump(name, 0, entries, |item| match key.take() {
            None => key = K::read_from_bytes(item).ok(),
            Some(key) => pairs.extend(V::read_from_bytes(item).ok().map(|value| (key, value))),
        })?;
        Ok(pairs)
    }

    /// Loads an iterator; its type is one of the running kernel's.
    ///
    /// # Errors
    /// Why the kernel would not.
    pub fn load_iterator(&mut self, name: &str) -> Result<(), String> {
        let btf = programs::running_btf()?;
        programs::load(&mut self.ebpf, &btf, name, "")
    }

    /// A file that, as it is read, runs a loaded iterator once over everything, and yields what it writes.
    ///
    /// # Errors
    /// Why the kernel would not.
    pub fn iterate(&mut self, name: &str) -> Result<File, String> {
        programs::iterate(&mut self.ebpf, name)
    }

    /// What the kernel reports of a loaded program.
    #[must_use]
    pub fn statistics(&self, name: &str) -> Option<ProgramStatistics> {
        programs::statistics(&self.ebpf, name)
    }
}

fn take_map<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| Error::Object(format!("map {name}")))?;
    T::try_from(map).map_err(|source| Error::Map { name, source })
}
