//! Where things are in the repository, and how cargo is called on it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target triple of every host build; naming it keeps host flags away from build scripts.
pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// The repository's root folder.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// The folder of the kernel side, which is a workspace of its own.
pub fn kernel_side() -> PathBuf {
    root().join("agent-ebpf")
}

/// The build folder, where the caller may have moved it.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this xtask, on the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The profile of a build that is used at once; xtask itself is built with it (.cargo/config.toml).
pub const QUICK: &str = "quick";

/// The profile of what is shipped, and of what virtual machines test.
pub const RELEASE: &str = "release";

/// The build of the agent with a profile.
pub fn build(profile: &str) -> Command {
    let mut command = cargo();
    command.args(["build", "--locked", "--profile", profile]);
    command.args(["--package", "halfopen", "--bin", "halfopen"]);
    command
}
