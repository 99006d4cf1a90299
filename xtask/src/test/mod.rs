//! `cargo xtask test`: everything that can be wrong, in the order in which it costs.

mod cargo;
pub mod guests;
mod pictures;
mod report;
mod rows;
mod rules;
mod table;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{apt, dist, ebpf, process, programs, prometheus, vm, workspace};
use report::{Report, Tally};
use rows::Selftest;

/// The environment variable that tells the tests where what Prometheus records is kept.
const RECORD_VARIABLE: &str = "HALFOPEN_RECORD";

/// Connections of a storm: each cause has its dozens.
const STORM: u32 = 10_000;

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

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    let mut report = Report::default();
    report.check("format", cargo::format);
    report.check("lints", cargo::clippy);
    let prometheus = if args.fast {
        prometheus::found()
    } else {
        report.check("Prometheus, not installed", prometheus::folder)
    };
    report.stage("pure tests, without root", || {
        cargo::unprivileged(prometheus.as_deref())
    });
    let (mut selftests, mut storms) = (Vec::new(), Vec::new());
    if !args.fast {
        let prometheus = prometheus.as_deref();
        full(args, prometheus, &mut report, &mut selftests, &mut storms);
    }
    conclude(
        &report,
        &[("every scenario", &selftests), ("a storm", &storms)],
    );
    Ok(())
}

/// Prints what came out, and ends the process with a failure where there is one.
fn conclude(report: &Report, played: &[(&str, &[Selftest])]) {
    for (what, selftests) in played.iter().filter(|(_, selftests)| !selftests.is_empty()) {
        println!("\n=== {what}, as counted on each kernel by each mechanism\n");
        print!("{}", table::draw(selftests));
    }
    if report.print().failed > 0 {
        // The counts are the last word; an error message after them would bury them.
        std::process::exit(1);
    }
}

fn full(
    args: &Args,
    prometheus: Option<&Path>,
    report: &mut Report,
    selftests: &mut Vec<Selftest>,
    storms: &mut Vec<Selftest>,
) {
    let object = report
        .check("kernel object equals a rebuild", rebuilt_object)
        .flatten();
    let binary = report.check("release binary is static", || {
        dist::build(object.as_deref())
    });
    let programs = report.check("real programs, not installed", programs::provide);
    let record = workspace::target().join("record");
    report.stage("tests as root, this kernel", || {
        apt::ensure(&apt::LAB)?;
        let mut told = vec![(RECORD_VARIABLE, record.clone())];
        told.extend(programs.map(|root| (programs::ROOT_VARIABLE, root)));
        told.extend(prometheus.map(|folder| (prometheus::VARIABLE, folder.to_owned())));
        cargo::as_root(object.as_deref(), &told)
    });
    report.stage("pictures, their own tests", pictures::own_tests);
    report.check("pictures of every dashboard", || pictures::draw(&record));
    let Some(binary) = binary else {
        report.check("scenarios", || -> Result<()> {
            bail!("there is no binary to run them with")
        });
        return;
    };
    let metrics = workspace::target().join("selftest-metrics.txt");
    report.stage("scenarios, this kernel", || {
        let out = [OsStr::new("--metrics-out"), metrics.as_os_str()];
        let _ = fs::remove_file(&metrics);
        let selftest = on_this_kernel(&binary, &out)?;
        Ok(keep(selftests, selftest))
    });
    report.stage("storm, this kernel", || {
        let storm = STORM.to_string();
        let selftest = on_this_kernel(&binary, &[OsStr::new("--storm"), OsStr::new(&storm)])?;
        Ok(keep(storms, selftest))
    });
    if let Some(prometheus) = prometheus {
        let promtool = prometheus.join("promtool");
        report.check("promtool check metrics", || {
            cargo::promtool(&promtool, &metrics)
        });
        report.check("promtool check and test rules", || rules::check(&promtool));
    }
    if args.host_only {
        return;
    }
    let scenarios = vm::Choice::default();
    let name = "scenarios, virtual machines";
    guests::stage(name, report, selftests, &binary, &scenarios);
    let storm = vm::Choice::storm(STORM);
    guests::stage("storm, virtual machines", report, storms, &binary, &storm);
}

fn keep(selftests: &mut Vec<Selftest>, selftest: Selftest) -> Tally {
    let tally = Tally {
        passed: selftest.passed(),
        failed: selftest.failed(),
        ..Tally::default()
    };
    selftests.push(selftest);
    tally
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
