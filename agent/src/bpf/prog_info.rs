//! What the kernel tells of a loaded BPF program, from /proc/self/fdinfo (`bpf_prog_show_fdinfo`,
//! kernel/bpf/syscall.c).
//!
//! # Invariants
//! A missing line is unknown, not 0.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

/// Statistics of one program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Runs while BPF statistics were on.
    pub runs: Option<u64>,
    /// Nanoseconds spent in them.
    pub run_time_ns: Option<u64>,
    /// Runs skipped because the program was running already on that processor (5.12+).
    pub misses: Option<u64>,
    /// Instructions the verifier walked through (5.16+).
    pub verified_instructions: Option<u64>,
}

/// Reads them; `None` where /proc does not tell.
pub fn read(program: &impl AsFd) -> Option<ProgramStatistics> {
    let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
    Some(parse(&fs::read_to_string(path).ok()?))
}

fn parse(text: &str) -> ProgramStatistics {
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse().ok()
    };
    ProgramStatistics {
        runs: value("run_cnt"),
        run_time_ns: value("run_time_ns"),
        misses: value("recursion_misses"),
        verified_instructions: value("verified_insns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_no_more() {
        let text =
            "pos:\t0\nprog_type:\t17\nrun_time_ns:\t1234\nrun_cnt:\t5\nverified_insns:\t77\n";
        assert_eq!(
            parse(text),
            ProgramStatistics {
                runs: Some(5),
                run_time_ns: Some(1234),
                misses: None,
                verified_instructions: Some(77),
            }
        );
        assert_eq!(parse("run_cnt:\tx\n"), ProgramStatistics::default());
    }
}
