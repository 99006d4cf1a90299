//! The BPF object, embedded, and how it is loaded: maps made, no program loaded yet.
//! It must never load a program: hooks are tried one by one.

use std::{fs, path::Path};

use aya::{Btf, Ebpf, EbpfLoader, Endianness, include_bytes_aligned};
use zerocopy::IntoBytes as _;

use super::{Error, btf::Layout, copy_plan, pin::Pins};
use crate::options::Options;

static OBJECT: &[u8] = include_bytes_aligned!(env!("HALFOPEN_EBPF_OBJECT"));

/// aya-log's levels.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

/// Creates the maps and fixes the constants.
///
/// # Errors
/// When the kernel refuses.
pub fn load(layout: &Layout, options: &Options, pins: Option<&Pins>) -> Result<Ebpf, Error> {
    let level = log_level(options);
    let generation = pins.map_or(0, Pins::next);
    let quick = copy_plan::plan(&layout.kernel);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("GENERATION", &generation, true)
        .override_global("KERNEL", layout.kernel.as_bytes(), true)
        .override_global("QUICK", quick.as_bytes(), true)
        .override_global("AYA_LOG_LEVEL", &level, false)
        .map_max_entries("SOCKETS", options.max_records)
        .map_max_entries("GROUPS", options.max_kernel_groups)
        .map_max_entries("CLASSES", 1);
    for (name, path) in pins.into_iter().flat_map(Pins::maps) {
        loader.map_pin_path(name, path);
    }
    loader.load(OBJECT).map_err(Error::Load)
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
    // FNV-1a.
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The same for walks, which use none of the hooks' maps.
///
/// # Errors
/// When the kernel refuses.
pub fn load_for_walk(layout: &Layout) -> Result<Ebpf, Error> {
    let quick = copy_plan::plan(&layout.kernel);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("KERNEL", layout.kernel.as_bytes(), true)
        .override_global("QUICK", quick.as_bytes(), true);
    for unused in ["SOCKETS", "GROUPS", "NETS"] {
        loader.map_max_entries(unused, 1);
    }
    loader.load(OBJECT).map_err(Error::Load)
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

/// Address of a kernel function; its name may carry a compiler's suffix (`.llvm.…`).
/// `None` without /proc/kallsyms, or where it shows zeros for want of CAP_SYSLOG.
#[must_use]
pub fn address(kallsyms: &str, function: &str) -> Option<u64> {
    kallsyms.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let name = words.nth(1)?;
        let rest = name.strip_prefix(function)?;
        ((rest.is_empty() || rest.starts_with(".llvm.")) && address != 0).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses() {
        let check =
            |line: &str, expected| assert_eq!(address(line, "tcp_write_timer"), expected, "{line}");
        check(
            "ffffffff82029da0 t tcp_write_timer",
            Some(0xffff_ffff_8202_9da0),
        );
        check(
            "ffffffff82029da0 t tcp_write_timer.llvm.12",
            Some(0xffff_ffff_8202_9da0),
        );
        check("ffffffff82029b10 T tcp_write_timer_handler", None);
        check("0000000000000000 t tcp_write_timer", None);
        check("", None);
        check("garbage", None);
    }
}
