//! Real programs whose peer vanishes: their settings, the kernel's counters and the agent must agree.
//! A program that is not there is reported as skipped, with the reason.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    sync::OnceLock,
};

use halfopen_lab::{Error, observe::agent_process::AgentProcess, scenario::session};
use halfopen_lab_programs::{self as programs, ProgramOutcome, ProgramsReport};

/// The private root in which the programs are; `cargo xtask test` makes it.
const ROOT: &str = "HALFOPEN_PROGRAMS_ROOT";

/// All play at once, before one agent, for the first test that asks.
fn report() -> Option<&'static ProgramsReport> {
    static REPORT: OnceLock<Option<Result<ProgramsReport, Error>>> = OnceLock::new();
    let played = REPORT.get_or_init(|| env::var_os(ROOT).map(|root| play(Path::new(&root))));
    let report = played.as_ref()?.as_ref();
    Some(report.unwrap_or_else(|error| panic!("{error}")))
}

fn play(root: &Path) -> Result<ProgramsReport, Error> {
    let _lock = session::prepare()?;
    let agent = AgentProcess::start(
        Path::new(env!("CARGO_BIN_EXE_halfopen")),
        &[
            "agent",
            "--web.listen-address",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ],
    )?;
    let report = programs::run(agent.origin(), root)?;
    agent.stop()?;
    Ok(report)
}

/// Past the test harness, which keeps what a passing test prints to itself.
fn skip(name: &str, why: &str) {
    let mut report = io::stdout().lock();
    report
        .write_all(format!("\nskipped: {name}: {why}\n").as_bytes())
        .unwrap();
}

fn check(name: &str) {
    let Some(report) = report() else {
        return skip(
            name,
            &format!("{ROOT} is not set: `cargo xtask test` sets it"),
        );
    };
    let named = |(program, _): &&(programs::Program, _)| program.name == name;
    match report.programs.iter().find(named) {
        None => panic!("there is no program {name}"),
        Some((_, ProgramOutcome::Missing(why))) => skip(name, why),
        Some((_, ProgramOutcome::Failed(error))) => panic!("{error}"),
        Some((_, ProgramOutcome::Compared(assessment))) => {
            println!("{assessment:#?}");
            assert!(
                assessment.wrong.is_empty(),
                "{name}: {:#?}",
                assessment.wrong
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn nginx() {
    check("nginx");
}

#[test]
#[ignore = "needs root"]
fn haproxy() {
    check("haproxy");
}

#[test]
#[ignore = "needs root"]
fn sshd() {
    check("sshd");
}

#[test]
#[ignore = "needs root"]
fn redis() {
    check("redis");
}

#[test]
#[ignore = "needs root"]
fn postgresql() {
    check("postgresql");
}

#[test]
#[ignore = "needs root"]
fn node() {
    check("node");
}

#[test]
#[ignore = "needs root"]
fn gunicorn() {
    check("gunicorn");
}

#[test]
#[ignore = "needs root"]
fn what_was_missed_is_accounted_for() {
    let Some(report) = report() else {
        return skip(
            "totals",
            &format!("{ROOT} is not set: `cargo xtask test` sets it"),
        );
    };
    println!("{:#?}", report.totals);
    assert!(report.totals.wrong.is_empty(), "{:#?}", report.totals.wrong);
}
