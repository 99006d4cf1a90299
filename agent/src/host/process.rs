//! The agent's own CPU time, memory and descriptors, from /proc.
//!
//! # Invariants
//! A field that cannot be read leaves out only its own metric.

use std::fs;

use halfopen_core::metrics::Process;

/// USER_HZ, which is 100 on every architecture that the hooks run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the agent costs now.
#[must_use]
pub fn read() -> Process {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let mut process = parse(
        &text("/proc/self/stat"),
        &text("/proc/self/status"),
        &text("/proc/self/limits"),
        &text("/proc/stat"),
    );
    // The directory that is being read is itself a descriptor.
    process.open_fds = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|fds| (fds.count() as u64).saturating_sub(1));
    process
}

fn parse(stat: &str, status: &str, limits: &str, host: &str) -> Process {
    // The second field, the name, may hold spaces and parentheses; proc(5) counts fields from 1.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
    let seconds = |number: usize| {
        let ticks: f64 = fields.get(number - 3)?.parse().ok()?;
        Some(ticks / TICKS_PER_SECOND)
    };
    let add = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    Process {
        cpu_seconds: add(seconds(14), seconds(15)),
        resident_bytes: word(status, "VmRSS:").map(|kib| kib * 1024),
        virtual_bytes: word(status, "VmSize:").map(|kib| kib * 1024),
        start_seconds: add(word(host, "btime").map(|time| time as f64), seconds(22)),
        threads: word(status, "Threads:"),
        open_fds: None,
        max_fds: word(limits, "Max open files"),
    }
}

/// The number that follows `name` at the beginning of a line.
fn word(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_hostile_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 9 0 1234 99 88";
        let status = "Name:\ta\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024   4096   files\n";
        let expected = Process {
            cpu_seconds: Some(2.0),
            resident_bytes: Some(1 << 20),
            virtual_bytes: Some(2 << 20),
            start_seconds: Some(1_000_012.34),
            threads: Some(9),
            open_fds: None,
            max_fds: Some(1024),
        };
        assert_eq!(
            parse(stat, status, limits, "cpu 1 2\nbtime 1000000\n"),
            expected
        );
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert_eq!(
            parse("", "", "Max open files unlimited", ""),
            Process::default()
        );
    }
}
