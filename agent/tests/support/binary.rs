//! The real binary, run as a person or a supervisor runs it.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// Where it is.
pub const PATH: &str = env!("CARGO_BIN_EXE_halfopen");

/// The binary, which ignores the environment of whoever runs the tests.
pub fn halfopen(arguments: &[&str]) -> Command {
    command(Path::new(PATH), arguments)
}

/// A program, which does not get the variables that configure the binary of whoever runs the tests.
pub fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HALFOPEN_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    halfopen(arguments).output().unwrap()
}

/// What was written to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one line by which it says why it failed.
pub fn sentence(output: &Output) -> String {
    let stderr = stderr(output);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("halfopen: "))
        .collect();
    assert_eq!(lines.len(), 1, "one sentence, not {stderr:?}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    lines[0].to_owned()
}

/// It failed before anything was attached: with this in its sentence.
pub fn failed(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    let sentence = sentence(output);
    assert!(sentence.contains(said), "{sentence}");
    let all = stderr(output);
    assert!(
        !all.contains("attached") && !all.contains("listening"),
        "{all}"
    );
}
