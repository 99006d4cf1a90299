//! The guest's root file system: busybox, the binary under test, two network tools, modules.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::modules;
use crate::process;

const MOUNT_POINTS: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "etc"];

/// Programs taken from this machine with the libraries they name.
const TOOLS: [&str; 2] = ["ip", "nft"];

/// Writes the initramfs of one kernel.
pub fn write(target: &Path, binary: &Path, busybox: &Path, kernel: &Kernel) -> Result<()> {
    let mut archive = Archive::default();
    for folder in MOUNT_POINTS {
        archive.folder(folder);
    }
    archive.file("init", include_bytes!("init"));
    archive.file("bin/busybox", &read(busybox)?);
    archive.link("bin/sh", "busybox");
    archive.file("usr/bin/halfopen", &read(binary)?);
    let mut libraries = Vec::new();
    for tool in TOOLS {
        let path = process::find(tool).with_context(|| format!("{tool} is not on the PATH"))?;
        archive.file(&format!("usr/sbin/{tool}"), &read(&path)?);
        libraries.extend(libraries_of(&path)?);
    }
    libraries.sort_unstable();
    libraries.dedup();
    for library in libraries {
        archive.file(&library, &read(Path::new(&library))?);
    }
    let mut order = String::new();
    for module in modules::read(&kernel.modules)? {
        archive.file(&format!("modules/{}.ko", module.name), &module.bytes);
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    fs::write(target, archive.finish()).with_context(|| format!("writing {}", target.display()))
}

/// The files ldd names: `name => /path (address)`, or `/path (address)` for the loader.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let said = process::text(Command::new("ldd").arg(program))?;
    Ok(said
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
