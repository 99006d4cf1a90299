//! The table of programs.

use halfopen::bpf::{prog_info::ProgramStatistics, statistics::Verified};

/// A program, what it is attached to, and what the kernel tells of it.
type Running = (&'static str, &'static str, ProgramStatistics);

/// Prints the attached programs, then the others of the object.
pub fn print(attached: &[Running], verified: &[Verified]) {
    println!("\nattached programs");
    line("program", "attached to", "runs", "ns/run", "verified insns");
    for (program, target, statistics) in attached {
        let runs = shown(statistics.runs);
        let verified = shown(statistics.verified_instructions);
        line(program, target, &runs, &time(statistics), &verified);
    }
    println!("\nprograms of the object that are not attached here");
    line("program", "for", "", "", "verified insns");
    let is_attached = |verified: &&Verified| {
        attached
            .iter()
            .any(|(program, ..)| *program == verified.program)
    };
    for other in verified.iter().filter(|verified| !is_attached(verified)) {
        let target = other.target.unwrap_or("run by hand");
        match &other.instructions {
            Ok(instructions) => line(&other.program, target, "", "", &shown(*instructions)),
            Err(reason) => println!("{:<28}{target:<25}{reason}", other.program),
        }
    }
}

fn line(program: &str, target: &str, runs: &str, time: &str, verified: &str) {
    println!("{program:<28}{target:<25}{runs:>9}{time:>9}{verified:>16}");
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "unknown".into(), |value| value.to_string())
}

fn time(statistics: &ProgramStatistics) -> String {
    match (statistics.run_time_ns, statistics.runs) {
        (_, Some(0)) => "not run".into(),
        (Some(time), Some(runs)) => (time / runs).to_string(),
        _ => "unknown".into(),
    }
}
