//! `cargo xtask test`: every test and check, the cheapest first.

mod cargo;
mod columns;
pub mod guests;
mod pictures;
mod report;
mod rows;
mod rules;
mod summary;
mod table;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{apt, dist, ebpf, process, programs, prometheus, vm, workspace};
use report::{Report, Scope};
use rows::Selftest;
use summary::{conclude, keep};

/// The environment variable that names to the tests the folder in which Prometheus records.
const RECORD_VARIABLE: &str = "HALFOPEN_RECORD";

/// Connections of a storm: dozens for each cause of death.
const STORM: u32 = 10_000;

/// For how long connections live on, in seconds.
const LIVING: u32 = 60;

/// What `cargo xtask test` was asked.
#[derive(clap::Args)]
pub struct Args {
    /// Only what needs neither root nor virtual machines.
    #[arg(long)]
    fast: bool,
    /// No virtual machines: this machine's kernel only.
    #[arg(long, conflicts_with = "fast")]
    host_only: bool,
}

impl Args {
    const fn scope(&self) -> Scope {
        match (self.fast, self.host_only) {
            (true, _) => Scope::Fast,
            (_, true) => Scope::Host,
            _ => Scope::Everything,
        }
    }
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    let scope = args.scope();
    let mut report = Report::new(scope);
    report.check(Scope::Fast, "format", cargo::format);
    report.check(Scope::Fast, "lints", cargo::clippy);
    let fetched = report.check(
        Scope::Host,
        "Prometheus, fetched but not installed",
        prometheus::folder,
    );
    let prometheus = fetched.or_else(prometheus::found);
    report.stage(Scope::Fast, "tests without root", || {
        cargo::unprivileged(prometheus.as_deref())
    });
    let played = with_root(&mut report, prometheus.as_deref());
    conclude(
        &report,
        &[
            ("every scenario", &played.scenarios),
            ("a storm", &played.storms),
            ("the living minute", &played.living),
        ],
    );
    Ok(())
}

/// The self-tests of every kernel, for the tables.
#[derive(Default)]
struct Played {
    scenarios: Vec<Selftest>,
    storms: Vec<Selftest>,
    living: Vec<Selftest>,
}

/// The stages that need root or virtual machines.
fn with_root(report: &mut Report, prometheus: Option<&Path>) -> Played {
    let mut played = Played::default();
    let object = report
        .check(
            Scope::Host,
            "kernel object equals a rebuild",
            rebuilt_object,
        )
        .flatten();
    let binary = report.check(Scope::Host, "release binary is static", || {
        dist::build(object.as_deref())
    });
    let binary = || {
        let built = binary.as_deref();
        built.context("there is no release binary to run")
    };
    let programs = report.check(
        Scope::Host,
        "real programs, fetched but not installed",
        programs::provide,
    );
    let record = workspace::target().join("record");
    report.stage(Scope::Host, "tests as root, this kernel", || {
        apt::ensure(&apt::LAB)?;
        let mut variables = vec![(RECORD_VARIABLE, record.clone())];
        variables.extend(programs.map(|root| (programs::ROOT_VARIABLE, root)));
        variables.extend(prometheus.map(|folder| (prometheus::VARIABLE, folder.to_owned())));
        cargo::as_root(object.as_deref(), &variables)
    });
    report.stage(
        Scope::Host,
        "tests of the dashboards' renderer",
        pictures::own_tests,
    );
    report.check(Scope::Host, "pictures of every dashboard", || {
        pictures::draw(&record)
    });
    let metrics = workspace::target().join("selftest-metrics.txt");
    report.stage(Scope::Host, "scenarios, this kernel", || {
        let out = [OsStr::new("--metrics-out"), metrics.as_os_str()];
        let _ = fs::remove_file(&metrics);
        let selftest = on_this_kernel(binary()?, &out)?;
        Ok(keep(&mut played.scenarios, selftest))
    });
    report.stage(Scope::Host, "storm, this kernel", || {
        let storm = STORM.to_string();
        let selftest = on_this_kernel(binary()?, &[OsStr::new("--storm"), OsStr::new(&storm)])?;
        Ok(keep(&mut played.storms, selftest))
    });
    report.stage(Scope::Host, "the living minute, this kernel", || {
        let living = LIVING.to_string();
        let selftest = on_this_kernel(binary()?, &[OsStr::new("--living"), OsStr::new(&living)])?;
        Ok(keep(&mut played.living, selftest))
    });
    let promtool = || {
        let folder = prometheus.context("there is no promtool")?;
        Ok::<_, anyhow::Error>(folder.join("promtool"))
    };
    report.check(Scope::Host, "promtool check metrics", || {
        cargo::promtool(&promtool()?, &metrics)
    });
    report.check(Scope::Host, "promtool check and test rules", || {
        rules::check(&promtool()?)
    });
    report.stage(Scope::Everything, "scenarios, virtual machines", || {
        guests::play(binary()?, &vm::Choice::default(), &mut played.scenarios)
    });
    report.stage(Scope::Everything, "storm, virtual machines", || {
        guests::play(binary()?, &vm::Choice::storm(STORM), &mut played.storms)
    });
    let living = "the living minute, virtual machines";
    report.stage(Scope::Everything, living, || {
        guests::play(binary()?, &vm::Choice::living(LIVING), &mut played.living)
    });
    played
}

/// The object to test instead of the committed one, where other tool versions built it.
fn rebuilt_object() -> Result<Option<PathBuf>> {
    match ebpf::check()? {
        ebpf::Verdict::Equal => {
            println!("equal, byte for byte");
            Ok(None)
        }
        ebpf::Verdict::OtherVersions { object, difference } => {
            println!(
                "not comparable, the toolchain differs from the committed object's; everything \
                 below tests the rebuilt one:\n{difference}"
            );
            Ok(Some(object))
        }
    }
}

fn on_this_kernel(binary: &Path, args: &[&OsStr]) -> Result<Selftest> {
    apt::ensure(&apt::LAB)?;
    let mut command = process::as_root(binary, "loading programs into the kernel")?;
    command
        .args(["selftest", "--hooks", "auto", "--json"])
        .args(args);
    let mut text = String::new();
    let status = process::lines(&mut command, |line| {
        println!("{line}");
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(Selftest::read("here auto", &text, status.code()))
}
