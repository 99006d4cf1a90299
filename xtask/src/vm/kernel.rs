//! Debian's kernel packages, unpacked without installing them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt;

/// A kernel and its modules.
pub struct Kernel {
    /// The bootable image.
    pub vmlinuz: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
}

/// Fetches the newest kernel behind a meta package, once.
pub fn fetch(meta: &str, folder: &Path) -> Result<Kernel> {
    let package = apt::newest_kernel(meta)?;
    let root = apt::unpack(&package, folder)?;
    let release = package.trim_start_matches("linux-image-");
    let kernel = Kernel {
        vmlinuz: root.join("boot").join(format!("vmlinuz-{release}")),
        modules: root.join("lib/modules").join(release),
    };
    for path in [&kernel.vmlinuz, &kernel.modules] {
        fs::metadata(path).with_context(|| format!("{package} lacks {}", path.display()))?;
    }
    Ok(kernel)
}
