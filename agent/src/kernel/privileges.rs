//! What this process may do, from /proc/self/status.
//! It must never try something to find out.

use std::fs;

use super::Error;

/// A capability (include/uapi/linux/capability.h) and what it is for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Its bit.
    bit: u32,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON too.
const SYS_ADMIN: Capability = Capability {
    name: "CAP_SYS_ADMIN",
    bit: 21,
    purpose: "enter other network namespaces to read their counters; BPF statistics",
};

/// Needed for anything at all.
const NEEDED: [Capability; 2] = [
    Capability {
        name: "CAP_BPF",
        bit: 39,
        purpose: "load BPF programs and maps",
    },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        purpose: "attach programs that read kernel memory",
    },
];

/// All that matter, needed ones first.
pub const CAPABILITIES: [Capability; 5] = [
    NEEDED[0],
    NEEDED[1],
    SYS_ADMIN,
    Capability {
        name: "CAP_SYS_PTRACE",
        bit: 19,
        purpose: "find the network namespaces of other users' processes",
    },
    Capability {
        name: "CAP_SYSLOG",
        bit: 34,
        purpose: "addresses of kernel functions, for tracepoints",
    },
];

/// Which capabilities are effective.
#[derive(Debug, Clone, Copy)]
pub struct Privileges(u64);

impl Privileges {
    /// Those of this process; `None` where /proc does not tell.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    /// Whether this one is effective.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 >> capability.bit & 1 != 0
    }

    fn missing(self) -> Vec<&'static str> {
        if self.has(SYS_ADMIN) {
            return Vec::new();
        }
        NEEDED.iter().filter(|needed| !self.has(**needed)).map(|needed| needed.name).collect()
    }
}

/// Refuses early, in one sentence, where nothing could be loaded.
pub fn check() -> Result<(), Error> {
    match Privileges::of_this_process().map(Privileges::missing) {
        Some(missing) if !missing.is_empty() => Err(Error::Privilege { missing: missing.join(" and ") }),
        // Unknown is not missing: the kernel will say.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let check = |hex: &str, missing: &[&str]| {
            let status = format!("Name:\tx\nCapPrm:\tffff\nCapEff:\t{hex}\nCapBnd:\t0\n");
            assert_eq!(Privileges::parse(&status).unwrap().missing(), missing, "{hex}");
        };
        check("000001ffffffffff", &[]);
        check("0000000000200000", &[]);
        check("000000c000000000", &[]);
        check("0000008000000000", &["CAP_PERFMON"]);
        check("0000000000000000", &["CAP_BPF", "CAP_PERFMON"]);
        assert!(Privileges::parse("Name:\tx\n").is_none());
        assert!(Privileges::parse("CapEff:\tzz\n").is_none());
    }
}
