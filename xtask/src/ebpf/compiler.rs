//! Stands between cargo and the compiler, so that no folder gets into the object's bytes.
//!
//! cargo hashes a crate's place into `-C metadata`, which ends up in mangled names: relative to the
//! workspace where the crate lies inside it, else absolute. halfopen-common lies outside the kernel
//! side's workspace, so its folder would reach the names in BTF: our crates get a fixed value.
//! Other crates' files are named in BTF by where cargo keeps them, which depends on the user and on
//! the registry: they get the crate's name and version instead.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

const VARIABLE: &str = "HALFOPEN_XTASK_COMPILES";

const OUR_CRATES: [&str; 2] = ["halfopen_common", "halfopen_ebpf"];

/// Makes cargo call this program in place of the compiler.
pub fn wrap(cargo: &mut Command) -> Result<()> {
    let this = env::current_exe().context("finding this program's own path")?;
    cargo.env("RUSTC_WRAPPER", this).env(VARIABLE, "1");
    Ok(())
}

/// Becomes the compiler where cargo calls this program as such; otherwise does nothing.
pub fn run_if_wrapped() -> Option<ExitCode> {
    env::var_os(VARIABLE)?;
    let mut words = env::args_os().skip(1);
    let compiler = words.next().unwrap_or_else(|| "rustc".into());
    let arguments = without_folders(words.collect(), |name| env::var_os(name));
    let error = Command::new(&compiler)
        .args(arguments)
        .env_remove(VARIABLE)
        .exec();
    eprintln!(
        "error: could not start the compiler {}: {error}",
        compiler.display()
    );
    Some(ExitCode::FAILURE)
}

fn without_folders(
    mut arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Vec<OsString> {
    let Some(at) = arguments.iter().position(|word| word == "--crate-name") else {
        return arguments;
    };
    let name = arguments
        .get(at + 1)
        .map(|name| name.to_string_lossy().into_owned());
    if let Some(name) = name.filter(|name| OUR_CRATES.contains(&name.as_str())) {
        for word in &mut arguments {
            if word.to_string_lossy().starts_with("metadata=") {
                *word = format!("metadata={name}").into();
            }
        }
        return arguments;
    }
    let (folder, name, version) = (
        variable("CARGO_MANIFEST_DIR"),
        variable("CARGO_PKG_NAME"),
        variable("CARGO_PKG_VERSION"),
    );
    if let (Some(folder), Some(name), Some(version)) = (folder, name, version) {
        let mut remap = OsString::from("--remap-path-prefix=");
        let parts: [&OsStr; 5] = [&folder, "=/crates/".as_ref(), &name, "-".as_ref(), &version];
        remap.extend(parts);
        arguments.push(remap);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::without_folders;

    fn check(given: &str, expected: &str) {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let variable = |name: &str| name.strip_prefix("CARGO_").map(OsString::from);
        assert_eq!(without_folders(words(given), variable), words(expected));
    }

    #[test]
    fn ours_get_fixed_metadata_and_others_a_fixed_folder() {
        check(
            "--crate-name halfopen_common -C metadata=12ab -C extra-filename=-12ab",
            "--crate-name halfopen_common -C metadata=halfopen_common -C extra-filename=-12ab",
        );
        check(
            "--crate-name aya_ebpf -C metadata=12ab",
            "--crate-name aya_ebpf -C metadata=12ab \
             --remap-path-prefix=MANIFEST_DIR=/crates/PKG_NAME-PKG_VERSION",
        );
        check("-vV", "-vV");
    }
}
