//! What this process may do, from /proc/self/status.

use std::fs;

use crate::bpf::Error;

/// CAP_SYS_ADMIN (include/uapi/linux/capability.h) stands for the others.
const SYS_ADMIN: u32 = 21;

/// Needed for anything at all.
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];

/// Which capabilities are effective.
#[derive(Debug, Clone, Copy)]
struct Privileges(u64);

impl Privileges {
    /// Those of this process; `None` where /proc does not tell.
    fn of_this_process() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    const fn has(self, capability: u32) -> bool {
        self.0 >> capability & 1 != 0
    }

    fn missing(self) -> Vec<&'static str> {
        if self.has(SYS_ADMIN) {
            return Vec::new();
        }
        NEEDED
            .into_iter()
            .filter(|(_, bit)| !self.has(*bit))
            .map(|(name, _)| name)
            .collect()
    }
}

/// Refuses early, in one sentence, where nothing could be loaded.
pub fn check() -> Result<(), Error> {
    match Privileges::of_this_process().map(Privileges::missing) {
        Some(missing) if !missing.is_empty() => Err(Error::Privilege {
            missing: missing.join(" and "),
        }),
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
            assert_eq!(
                Privileges::parse(&status).unwrap().missing(),
                missing,
                "{hex}"
            );
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
