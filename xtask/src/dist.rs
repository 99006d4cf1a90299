//! `cargo xtask dist`: the release binary with the C runtime inside, for any Linux of this
//! architecture and for the initramfs of the virtual machines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{ebpf, process, workspace};

/// ELF program header type of the line that names a dynamic loader.
const PT_INTERP: u32 = 3;

/// Runs the task.
pub fn main() -> Result<()> {
    let binary = build(None)?;
    let size = fs::metadata(&binary)?.len();
    println!("{}: static, {:.1} MiB", binary.display(), mib(size));
    Ok(())
}

/// Builds the binary, with another kernel object than the committed one where given.
pub fn build(object: Option<&Path>) -> Result<PathBuf> {
    let mut cargo = workspace::build(workspace::RELEASE);
    cargo.args(["--target", workspace::HOST]);
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Names stay for backtraces; line tables would triple the size of every guest's memory image.
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    if let Some(object) = object {
        cargo.env(ebpf::OBJECT_VARIABLE, object);
    }
    process::run(&mut cargo)?;
    let built = workspace::target()
        .join(workspace::HOST)
        .join("release/halfopen");
    let bytes = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    match needs_loader(&bytes) {
        Some(false) => {}
        Some(true) => bail!(
            "{} is not static: it names a dynamic loader",
            built.display()
        ),
        None => bail!(
            "{} is not a 64-bit little-endian ELF program",
            built.display()
        ),
    }
    let folder = workspace::target().join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let binary = folder.join("halfopen");
    // A running binary cannot be written to, but it can be replaced.
    let fresh = folder.join("halfopen.new");
    fs::copy(&built, &fresh).with_context(|| format!("copying to {}", fresh.display()))?;
    fs::rename(&fresh, &binary).with_context(|| format!("replacing {}", binary.display()))?;
    Ok(binary)
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Whether an ELF file has a PT_INTERP header; nothing where it is no such file.
fn needs_loader(elf: &[u8]) -> Option<bool> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        bytes
            .iter()
            .rev()
            .try_fold(0_usize, |sum, &byte| Some((sum << 8) | usize::from(byte)))
    };
    let (table, entry, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    (0..count).try_fold(false, |found, index| {
        let header = elf.get(table + index * entry..)?.get(..4)?;
        Some(found || header == PT_INTERP.to_le_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::needs_loader;

    #[test]
    fn a_test_program_names_a_loader_and_garbage_is_no_program() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(needs_loader(&own), Some(true));
        assert_eq!(needs_loader(b"#!/bin/sh\n"), None);
        assert_eq!(needs_loader(b""), None);
    }
}
