//! The kernel modules a guest needs, uncompressed and in the order in which they load.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What the scenarios use; a name that is built into the kernel is passed over.
const REQUIRED: [&str; 4] = ["ipv6", "veth", "nf_tables", "nft_numgen"];

/// What they may use, or what another module asks for only when it runs.
const OPTIONAL: [&str; 6] = [
    "tcp_diag",
    "crc32c_generic",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "sch_netem",
];

/// A module's name and its uncompressed bytes.
pub struct Module {
    /// Its name.
    pub name: String,
    /// What insmod takes.
    pub bytes: Vec<u8>,
}

/// Reads the modules from a kernel's folder, each after those it depends on.
pub fn read(folder: &Path) -> Result<Vec<Module>> {
    let mut files = HashMap::new();
    index(&folder.join("kernel"), &mut files)?;
    let builtin = fs::read_to_string(folder.join("modules.builtin"))
        .with_context(|| format!("reading modules.builtin in {}", folder.display()))?;
    let builtin: Vec<String> = builtin
        .lines()
        .filter_map(|line| name_of(Path::new(line)))
        .collect();
    let mut loaded = Vec::new();
    for name in OPTIONAL.iter().filter(|name| files.contains_key(**name)) {
        load(name, &files, &mut loaded)?;
    }
    for name in REQUIRED
        .iter()
        .filter(|name| !builtin.iter().any(|have| have == **name))
    {
        load(name, &files, &mut loaded)?;
    }
    Ok(loaded)
}

fn load(name: &str, files: &HashMap<String, PathBuf>, loaded: &mut Vec<Module>) -> Result<()> {
    if loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let path = files
        .get(name)
        .with_context(|| format!("the kernel has no module {name}"))?;
    let bytes = uncompressed(path)?;
    for needed in depends(&bytes) {
        load(&needed, files, loaded)?;
    }
    loaded.push(Module {
        name: name.to_owned(),
        bytes,
    });
    Ok(())
}

fn index(folder: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `nf_tables` of `…/nf_tables.ko.xz`; file names may have `-` where module names have `_`.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, _) = file.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(path).with_context(|| format!("reading {}", path.display())),
        Some("xz") => process::output(Command::new("xz").arg("-dc").arg(path)),
        _ => bail!(
            "{}: compressed in a way this program does not know",
            path.display()
        ),
    }
}

/// The names after `depends=` in the module's information section, whose strings end in NUL.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[start + KEY.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{depends, name_of};
    use std::path::Path;

    #[test]
    fn dependencies_come_from_the_information_section() {
        let module = b"ELF\0license=GPL\0depends=nfnetlink,crc-x\0name=a\0";
        assert_eq!(depends(module), ["nfnetlink", "crc_x"]);
        assert!(depends(b"ELF\0depends=\0name=a\0").is_empty());
        assert!(depends(b"ELF").is_empty());
    }

    #[test]
    fn names_lose_folder_and_compression() {
        assert_eq!(name_of(Path::new("net/a-b.ko.xz")).as_deref(), Some("a_b"));
        assert_eq!(name_of(Path::new("modules.order")), None);
    }
}
