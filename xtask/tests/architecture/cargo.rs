//! What cargo says of the workspace.

use std::process::Command;

use crate::code::sources::root;

/// Everything that a package is built of besides tests and build scripts: `name version`, one a line.
pub fn tree(package: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--package", package, "--edges", "normal"])
        .args(["--prefix", "none", "--locked", "--offline"])
        .output()
        .unwrap();
    let refused = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "cargo tree -p {package}: {refused}");
    String::from_utf8(done.stdout).unwrap()
}
