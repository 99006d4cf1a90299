//! `cargo xtask ebpf`: the kernel programs from source to the committed object, the same bytes
//! whoever builds them and wherever.

mod build;
pub mod compiler;
mod linker;
mod toolchain;
mod versions;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::workspace;
use versions::Versions;

/// Names the object that agent/build.rs embeds in place of the committed one.
pub const OBJECT_VARIABLE: &str = "HALFOPEN_EBPF_OBJECT";

/// What `cargo xtask ebpf` was asked.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing: rebuild elsewhere and compare with the committed object byte for byte.
    #[arg(long)]
    check: bool,
}

/// What a rebuild says about the committed object.
pub enum Verdict {
    /// The same versions gave the same bytes.
    Equal,
    /// Other versions than the committed object's gave other bytes: test these instead.
    OtherVersions {
        /// The rebuilt object.
        object: PathBuf,
        /// Which versions differ.
        difference: String,
    },
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    if !args.check {
        return rebuild();
    }
    match check()? {
        Verdict::Equal => println!("{} equals a rebuild from source", object().display()),
        Verdict::OtherVersions { object, difference } => println!(
            "not comparable, the toolchain differs from the committed object's:\n{difference}\n\
             to test what this one built: {OBJECT_VARIABLE}={} cargo xtask test",
            object.display()
        ),
    }
    Ok(())
}

/// Rebuilds outside the repository and compares with the committed object.
pub fn check() -> Result<Verdict> {
    let (committed, record) = (object(), record());
    let expected = fs::read(&committed).with_context(|| {
        format!(
            "reading {}; make it with `cargo xtask ebpf`",
            committed.display()
        )
    })?;
    let recorded = Versions::read(&record)?;
    let built = build::build(&recorded, build::Lock::MustHold)?;
    let bytes = fs::read(&built.object)?;
    if bytes == expected {
        return Ok(Verdict::Equal);
    }
    if let Some(difference) = recorded.difference(&built.versions) {
        return Ok(Verdict::OtherVersions {
            object: built.object,
            difference,
        });
    }
    bail!(
        "{} ({} bytes) is not what its source gives with the same toolchain ({} bytes, in {}): \
         either the source changed without `cargo xtask ebpf`, or the build is not reproducible",
        committed.display(),
        expected.len(),
        bytes.len(),
        built.object.display()
    );
}

fn rebuild() -> Result<()> {
    let recorded = Versions::read(&record()).unwrap_or_default();
    let built = build::build(&recorded, build::Lock::MayChange)?;
    let target = object();
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let size = fs::copy(&built.object, &target)
        .with_context(|| format!("copying the object to {}", target.display()))?;
    fs::write(record(), built.versions.to_string())
        .with_context(|| format!("writing {}", record().display()))?;
    println!("{}: {size} bytes", target.display());
    Ok(())
}

fn object() -> PathBuf {
    workspace::kernel_side().join("object/halfopen.bpf.o")
}

fn record() -> PathBuf {
    workspace::kernel_side().join("object/BUILT-WITH.txt")
}
