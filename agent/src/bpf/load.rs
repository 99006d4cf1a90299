//! How the embedded BPF object is loaded: maps made, constants fixed, no program loaded yet.
//!
//! # Invariants
//! No program is loaded here: hooks are tried one by one.

use std::{fs, path::Path};

use aya::{Btf, EbpfLoader, Endianness, include_bytes_aligned};
use halfopen_common::fnv;
use zerocopy::IntoBytes as _;

use super::{
    Error,
    btf::{Layout, copy_plan},
    loaded_object::Object,
    pin::Pins,
};
use crate::options::Options;

static OBJECT: &[u8] = include_bytes_aligned!(env!("HALFOPEN_EBPF_OBJECT"));

/// aya-log's levels.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

/// Creates the maps and fixes the constants.
///
/// # Errors
/// When the kernel refuses.
pub fn load(layout: &Layout, options: &Options, pins: Option<&Pins>) -> Result<Object, Error> {
    let level = log_level(options);
    let generation = pins.map_or(0, Pins::next);
    let plan = copy_plan::plan(&layout.kernel);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("GENERATION", &generation, true)
        .override_global("KERNEL", layout.kernel.as_bytes(), true)
        .override_global("FAST_PATH", plan.as_bytes(), true)
        .override_global("AYA_LOG_LEVEL", &level, false)
        .map_max_entries("SOCKETS", options.max_records)
        .map_max_entries("GROUPS", options.max_kernel_groups)
        .map_max_entries("IGNORED", options.max_kernel_groups)
        .map_max_entries("CLASSES", 1);
    for (name, path) in pins.into_iter().flat_map(Pins::maps) {
        loader.map_pin_path(name, path);
    }
    Object::of(loader.load(OBJECT).map_err(Error::Load)?)
}

const fn log_level(options: &Options) -> u8 {
    if options.kernel_log {
        LOG_DEBUG
    } else {
        LOG_OFF
    }
}

/// Tells whether the hooks of two agents would be the same: of one object, with the same constants,
/// attached in the same ways.
#[must_use]
pub fn identity(layout: &Layout, options: &Options) -> u64 {
    let asked = format!("{:?} {:?}", options.hooks, options.without);
    let parts: [&[u8]; 4] = [
        OBJECT,
        layout.kernel.as_bytes(),
        asked.as_bytes(),
        &[log_level(options)],
    ];
    fnv::hash(parts.into_iter().flatten())
}

/// The same for walks, which use none of the hooks' maps.
///
/// # Errors
/// When the kernel refuses.
pub fn load_for_walk(layout: &Layout) -> Result<Object, Error> {
    let plan = copy_plan::plan(&layout.kernel);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("KERNEL", layout.kernel.as_bytes(), true)
        .override_global("FAST_PATH", plan.as_bytes(), true);
    for unused in ["SOCKETS", "GROUPS", "NETS", "LISTENERS"] {
        loader.map_max_entries(unused, 1);
    }
    Object::of(loader.load(OBJECT).map_err(Error::Load)?)
}

/// The same BTF as aya reads it, needed to attach to functions by name.
///
/// # Errors
/// When it is not BTF.
pub fn btf(path: &Path) -> Result<Btf, Error> {
    let bytes = fs::read(path).map_err(|source| Error::NoBtf {
        path: path.into(),
        source,
    })?;
    Btf::parse(&bytes, Endianness::default()).map_err(|error| Error::BadBtf {
        path: path.into(),
        reason: error.to_string(),
    })
}
