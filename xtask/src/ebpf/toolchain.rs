//! Which compiler builds the kernel programs. Their target has no prebuilt `core`, so the library's
//! source must be there, and be of the same version as the compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::apt::{self, Need};
use crate::process;

/// bpf-linker's LLVM; it must be at least the compiler's.
pub const LLVM: u32 = 22;

/// Where Debian's packages put LLVM.
pub const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

const DEBIAN: [Need; 3] = [
    Need {
        probe: "/usr/share/doc/rustc-web",
        package: "rustc-web",
        why: "a compiler whose library source Debian has too",
    },
    Need {
        probe: "/usr/share/doc/cargo-web",
        package: "cargo-web",
        why: "the cargo of that compiler",
    },
    Need {
        probe: "/usr/lib/rustlib/src/rust/library/core/Cargo.toml",
        package: "rust-web-src",
        why: "source of `core`, which is built for the kernel target",
    },
];

/// A compiler that can build the kernel programs.
pub struct Toolchain {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its compiler.
    pub rustc: PathBuf,
    /// Its library source.
    pub source: PathBuf,
    /// `rustc -V`, with the LLVM inside.
    pub version: String,
}

/// Finds a usable toolchain, preferring the one that `preferred` names; installs one if it can.
pub fn find(preferred: &str) -> Result<Toolchain> {
    let candidates = [rustup(), debian()];
    let mut usable = Vec::new();
    for candidate in candidates {
        match candidate {
            Ok(toolchain) => usable.push(toolchain),
            Err(why) => eprintln!("not used: {why}"),
        }
    }
    if let Some(at) = usable
        .iter()
        .position(|toolchain| toolchain.version == preferred)
    {
        return Ok(usable.swap_remove(at));
    }
    if let Some(toolchain) = usable.pop() {
        return Ok(toolchain);
    }
    if !apt::is_debian_12() {
        bail!(
            "no toolchain here builds for bpfel-unknown-none. Do\n  \
             rustup toolchain install nightly --component rust-src\n\
             and have LLVM {LLVM} with its headers (llvm-{LLVM}-dev) for bpf-linker"
        );
    }
    apt::ensure(&DEBIAN)?;
    debian().map_err(|why| anyhow::anyhow!("packages installed, yet: {why}"))
}

fn rustup() -> Result<Toolchain, String> {
    let which = |program| {
        process::text(Command::new("rustup").args(["which", "--toolchain", "nightly", program]))
            .map(PathBuf::from)
            .map_err(|_| "rustup nightly: not installed".to_owned())
    };
    let (cargo, rustc) = (which("cargo")?, which("rustc")?);
    inspect(
        "rustup nightly",
        cargo,
        rustc,
        "rustup component add rust-src --toolchain nightly",
    )
}

fn debian() -> Result<Toolchain, String> {
    let (cargo, rustc) = (
        PathBuf::from("/usr/bin/cargo"),
        PathBuf::from("/usr/bin/rustc"),
    );
    if !DEBIAN[0].is_met() || !DEBIAN[1].is_met() {
        return Err("Debian's rustc-web set: not installed".to_owned());
    }
    inspect(
        "Debian's rustc-web set",
        cargo,
        rustc,
        "apt-get install rust-web-src",
    )
}

fn inspect(
    name: &str,
    cargo: PathBuf,
    rustc: PathBuf,
    source_from: &str,
) -> Result<Toolchain, String> {
    let ask = |what: &[&str]| {
        process::text(
            Command::new(&rustc)
                .args(what)
                .env_remove("RUSTUP_TOOLCHAIN"),
        )
        .map_err(|why| format!("{name}: {why:#}"))
    };
    let sysroot = ask(&["--print", "sysroot"])?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust");
    if !source.join("library/core/Cargo.toml").is_file() {
        return Err(format!(
            "{name}: it lacks rust-src, the source of `core`, which has no prebuilt form for the \
             kernel target ({source_from})"
        ));
    }
    let verbose = ask(&["-vV"])?;
    let llvm = verbose
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .unwrap_or("?");
    let major: u32 = llvm
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(u32::MAX);
    if major > LLVM {
        return Err(format!(
            "{name}: its LLVM {llvm} is newer than bpf-linker's ({LLVM})"
        ));
    }
    let version = format!(
        "{}, LLVM {llvm}",
        verbose.lines().next().unwrap_or_default()
    );
    Ok(Toolchain {
        cargo,
        rustc,
        source,
        version,
    })
}
