//! bpf-linker, which turns LLVM bitcode into the object, and the tool that strips it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::toolchain::{LLVM, LLVM_PREFIX};
use crate::apt::{self, Need};
use crate::{process, workspace};

const VERSION: &str = "0.13.0";

const NEEDS: [Need; 4] = [
    Need {
        probe: "/usr/lib/llvm-22/lib/libLLVM.so",
        package: "llvm-22-dev",
        why: "the LLVM library that bpf-linker is built on",
    },
    Need {
        probe: "llvm-strip-22",
        package: "llvm-22",
        why: "strips debug information from the kernel object, keeping BTF",
    },
    Need {
        probe: "gcc",
        package: "gcc",
        why: "links bpf-linker",
    },
    Need {
        probe: "/usr/include/stdio.h",
        package: "libc6-dev",
        why: "links bpf-linker",
    },
];

/// A program and what it says of its version.
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// Its version, with the LLVM that decides its output.
    pub version: String,
}

/// Finds bpf-linker, or builds it under the target folder.
pub fn linker() -> Result<Tool> {
    let own = workspace::target().join("tools/bin/bpf-linker");
    let places = [process::find("bpf-linker"), Some(own.clone())];
    for path in places.into_iter().flatten().filter(|path| path.is_file()) {
        match inspect(path) {
            Ok(tool) => return Ok(tool),
            Err(why) => eprintln!("not used: {why:#}"),
        }
    }
    apt::ensure(&NEEDS)?;
    println!("building bpf-linker {VERSION} into target/tools: it links the kernel object");
    let mut install = workspace::cargo();
    install.args(["install", "bpf-linker", "--version", VERSION, "--locked"]);
    install.args(["--no-default-features", "--features", "llvm-22", "--root"]);
    install.arg(workspace::target().join("tools"));
    install
        .arg("--target-dir")
        .arg(workspace::target().join("tools/build"));
    process::run(
        install
            .env("LLVM_PREFIX", LLVM_PREFIX)
            .env_remove("RUSTFLAGS"),
    )?;
    inspect(own)
}

/// Finds the strip tool of the same LLVM.
pub fn strip() -> Result<Tool> {
    apt::ensure(&NEEDS[1..2])?;
    let path = process::find(NEEDS[1].probe).context("llvm-strip-22 is not on the PATH")?;
    let said = process::text(Command::new(&path).arg("--version"))?;
    let version = said
        .split_whitespace()
        .find(|word| word.starts_with(&format!("{LLVM}.")));
    let version = version.with_context(|| format!("{} prints no version", path.display()))?;
    Ok(Tool {
        version: version.to_owned(),
        path,
    })
}

fn inspect(path: PathBuf) -> Result<Tool> {
    let said = process::text(Command::new(&path).arg("--version"))?;
    if said != format!("bpf-linker {VERSION}") {
        bail!("{}: is `{said}`, not version {VERSION}", path.display());
    }
    let libraries = process::text(Command::new("ldd").arg(&path))?;
    let library = libraries
        .lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .find(|(name, _)| name.starts_with("libLLVM"))
        .map(|(name, _)| {
            name.trim_start_matches("libLLVM.so.")
                .trim_start_matches("libLLVM-")
        });
    match library {
        Some(llvm) if llvm.starts_with(&LLVM.to_string()) => Ok(Tool {
            version: format!("{VERSION}, LLVM {llvm}"),
            path,
        }),
        Some(llvm) => bail!("{}: is built on LLVM {llvm}, not {LLVM}", path.display()),
        None => bail!("{}: does not say which LLVM it is built on", path.display()),
    }
}
