//! Names the BPF object to embed and the revision; needs no BPF toolchain, since the object is
//! committed and proven equal to a rebuild.

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=HALFOPEN_EBPF_OBJECT");
    let committed = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../agent-ebpf/object/halfopen.bpf.o");
    let object = env::var_os("HALFOPEN_EBPF_OBJECT").map_or(committed, PathBuf::from);
    assert!(
        object.is_file(),
        "{} is not there: build it with `cargo xtask ebpf`",
        object.display()
    );
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-env=HALFOPEN_EBPF_OBJECT={}", object.display());

    println!("cargo::rerun-if-env-changed=HALFOPEN_REVISION");
    let revision = env::var("HALFOPEN_REVISION")
        .ok()
        .or_else(revision)
        .unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=HALFOPEN_REVISION={revision}");
}

/// `git describe`, where this is a checkout.
fn revision() -> Option<String> {
    for watched in ["../.git/HEAD", "../.git/refs/heads"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
