//! The invariants of ARCHITECTURE.md that can be read off the sources.
//! It must never pass because it found nothing to read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Words of code, comments and string literals apart.
fn words(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split('"').step_by(2))
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

/// Files in which one of the words stands, tests included.
fn offenders(files: &[PathBuf], forbidden: &[&str]) -> Vec<String> {
    let mut offenders = Vec::new();
    for path in files {
        let source = fs::read_to_string(path).unwrap();
        if let Some(word) = words(&source).find(|word| forbidden.contains(word)) {
            offenders.push(format!("{}: {word}", path.display()));
        }
    }
    offenders
}

fn agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn the_core_reads_no_clock_file_socket_or_environment() {
    let core: Vec<_> = ["filter", "model", "metrics", "render"]
        .iter()
        .flat_map(|room| sources(&agent().join(room)))
        .collect();
    assert!(core.len() >= 8, "{core:?}");
    let files = [
        "fs",
        "env",
        "File",
        "OpenOptions",
        "stdin",
        "stdout",
        "stderr",
    ];
    let world = [
        "Instant",
        "SystemTime",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "Command",
    ];
    let crates = ["tokio", "rustix", "libc", "unsafe"];
    let offenders = offenders(&core, &[&files[..], &world, &crates].concat());
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn nothing_outside_kernel_names_aya_or_is_unsafe() {
    let kernel = agent().join("kernel");
    let outside: Vec<_> = sources(&agent())
        .into_iter()
        .filter(|path| !path.starts_with(&kernel))
        .collect();
    assert!(outside.len() >= 20, "{outside:?}");
    let offenders = offenders(&outside, &["aya", "aya_log", "aya_obj", "unsafe"]);
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn the_lab_knows_no_agent() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let dependencies = manifest.lines().filter(|line| !line.starts_with("name"));
    assert!(dependencies.clone().count() > 3);
    for line in dependencies {
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        assert!(
            !["halfopen", "halfopen-common", "aya"].contains(&dependency),
            "{line}"
        );
    }
}
