//! Formatting, lints, and cargo's own tests, counted from what the test programs print.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::report::Tally;
use crate::{ebpf, process, prometheus, workspace};

/// rustfmt on everything, the kernel side included; names the files that differ.
pub fn format() -> Result<()> {
    let mut cargo = workspace::cargo();
    process::run(cargo.args(["fmt", "--all", "--check", "--message-format", "short"]))?;
    let mut cargo = workspace::cargo();
    cargo.args(["fmt", "--check", "--message-format", "short"]);
    process::run(cargo.args(["--manifest-path", "agent-ebpf/Cargo.toml"]))
}

/// clippy, where a warning is an error: the host's crates, and the kernel side.
pub fn clippy() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--locked"]);
    process::run(cargo.args(["--", "-D", "warnings"]))?;
    // Linted as if for the host, for which there is a prebuilt `core`; it uses unstable intrinsics.
    let mut cargo = workspace::cargo();
    cargo.args([
        "clippy",
        "--manifest-path",
        "agent-ebpf/Cargo.toml",
        "--locked",
    ]);
    cargo
        .arg("--target-dir")
        .arg(workspace::target().join("ebpf-lints"));
    process::run(
        cargo
            .args(["--", "-D", "warnings"])
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}

/// Everything that needs no root; with the folder of Prometheus' programs, where there is one.
pub fn unprivileged(prometheus: Option<&Path>) -> Result<Tally> {
    let mut cargo = workspace::cargo();
    cargo.envs(prometheus.map(|folder| (prometheus::VARIABLE, folder)));
    count(cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

/// The tests marked as needing root, one at a time since they change the machine's network; `told` are
/// variables that name what they work with.
pub fn as_root(object: Option<&Path>, told: &[(&str, PathBuf)]) -> Result<Tally> {
    let mut runner = process::as_root("env", "loading programs into the kernel")?;
    let mut cargo = workspace::cargo();
    for (variable, path) in told {
        cargo.env(variable, path);
        // sudo hands no variable on.
        runner.arg(format!("{variable}={}", path.display()));
    }
    // Only the test programs become root, not the compiler: its files stay the caller's.
    if !process::is_root() {
        let words = std::iter::once(runner.get_program()).chain(runner.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        cargo
            .arg("--config")
            .arg(format!("target.{}.runner={words:?}", workspace::HOST));
    }
    if let Some(object) = object {
        cargo.env(ebpf::OBJECT_VARIABLE, object);
    }
    cargo.args([
        "test",
        "--package",
        "halfopen",
        "--lib",
        "--bins",
        "--tests",
        "--locked",
    ]);
    cargo.args(["--no-fail-fast", "--", "--ignored", "--test-threads=1"]);
    let tally = count(&mut cargo)?;
    if tally == Tally::default() {
        bail!("no test is marked #[ignore = \"needs root\"]: the kernel side would go untested");
    }
    Ok(tally)
}

/// `promtool check metrics` on a scrape.
pub fn promtool(promtool: &PathBuf, metrics: &Path) -> Result<()> {
    let scrape = std::fs::File::open(metrics)
        .map_err(|error| anyhow::anyhow!("no metrics in {}: {error}", metrics.display()))?;
    process::run(
        Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(scrape),
    )
}

fn count(cargo: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let status = process::lines(cargo, |line| {
        println!("{line}");
        tally.add(counts_of(line).unwrap_or_default());
        tally.skipped.extend(skipped(line));
    })?;
    // To the test harness, what ends without failing has passed.
    tally.passed = tally.passed.saturating_sub(tally.skipped.len());
    if !status.success() && tally.failed == 0 {
        bail!(
            "`{}` failed before its tests could: {status}",
            process::describe(cargo)
        );
    }
    Ok(tally)
}

/// The counts of `test result: ok. 3 passed; 1 failed; 0 ignored; …`.
fn counts_of(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |wanted: &str| {
        counts
            .split("; ")
            .find_map(|part| part.strip_suffix(wanted)?.trim().parse().ok())
    };
    Some(Tally {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: Vec::new(),
    })
}

/// A test that could not run says so on a line of its own, with its name and the reason.
fn skipped(line: &str) -> Option<String> {
    line.strip_prefix("skipped: ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Tally, counts_of, skipped};

    #[test]
    fn counts_come_from_result_lines_only() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            counts_of(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                skipped: Vec::new()
            })
        );
        assert_eq!(counts_of("test a::b ... ok"), None);
        assert_eq!(counts_of("running 3 tests"), None);
        assert_eq!(skipped("skipped: a: b"), Some("a: b".to_owned()));
        assert_eq!(skipped("test a ... ok"), None);
    }
}
