//! One build of the kernel object, with nothing of this machine in its bytes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::Toolchain;
use super::versions::Versions;
use super::{compiler, linker, toolchain};
use crate::{process, workspace};

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "halfopen-ebpf";

/// Settings of the caller that would change the build if they leaked into it.
const FOREIGN: [&str; 8] = [
    "RUSTFLAGS",
    "RUSTC",
    "RUSTUP_TOOLCHAIN",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_INCREMENTAL",
];

/// Whether the lock file may be brought up to date.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// The build fails where the lock file does not fit.
    MustHold,
    /// The developer's build may write it.
    MayChange,
}

/// An object and what made it.
pub struct Built {
    /// The stripped object.
    pub object: PathBuf,
    /// The tools' versions.
    pub versions: Versions,
}

/// Builds and strips the object outside the source folders.
pub fn build(recorded: &Versions, lock: Lock) -> Result<Built> {
    let toolchain = toolchain::find(recorded.rustc())?;
    let (linker, strip) = (linker::linker()?, linker::strip()?);
    println!("building the kernel programs with {}", toolchain.version);
    let target = workspace::target().join("ebpf");
    let mut cargo = cargo(&toolchain);
    cargo.args([
        "build",
        "--release",
        "-Z",
        "build-std=core",
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(&target);
    if lock == Lock::MustHold {
        cargo.arg("--locked");
    }
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &linker.path);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(&toolchain).join("\x1f"));
    compiler::wrap(&mut cargo)?;
    process::run(&mut cargo)?;

    let object = target.join("halfopen.bpf.o");
    let linked = target.join(TARGET).join("release").join(BINARY);
    let mut stripping = Command::new(&strip.path);
    stripping
        .args(["--strip-debug", "-o"])
        .arg(&object)
        .arg(&linked);
    process::run(&mut stripping)?;
    fs::metadata(&object).with_context(|| format!("{} was not written", object.display()))?;
    let versions = Versions::new(toolchain.version, linker.version, strip.version);
    Ok(Built { object, versions })
}

fn cargo(toolchain: &Toolchain) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    command.current_dir(workspace::kernel_side());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN.iter().any(|foreign| text.starts_with(foreign)) {
            command.env_remove(&name);
        }
    }
    // A released compiler refuses `-Z build-std` without the bootstrap variable.
    command
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

fn flags(toolchain: &Toolchain) -> Vec<String> {
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        // BTF is made from debug information.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // Atomics that return the old value, and 32-bit arithmetic; every kernel we support has v3.
        "-Ctarget-cpu=v3".to_owned(),
    ];
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    flags.push(remap(&workspace::root(), "/halfopen"));
    flags.push(remap(&toolchain.source, "/rust"));
    // Debian's source folder is a symbolic link; either name of it may reach the compiler.
    if let Ok(real) = toolchain.source.canonicalize() {
        flags.push(remap(&real, "/rust"));
    }
    flags
}
