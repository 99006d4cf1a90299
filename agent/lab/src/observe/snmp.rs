//! The kernel's own TCP counters of one network namespace: /proc/net/snmp and /proc/net/netstat. The agent's
//! reader is not used: two readers cannot be wrong in the same way.

use std::{collections::BTreeMap, fs};

use crate::Error;

/// Files, and the groups of counters in them.
const GROUPS: [(&str, &str); 3] = [("snmp", "Tcp"), ("netstat", "TcpExt"), ("snmp", "Icmp")];

/// ICMP messages received that say that something is unreachable; of its group this one alone is kept, since
/// others have names that TCP has too.
pub(crate) const ICMP_ERRORS: &str = "InDestUnreachs";
/// The same over IPv6.
pub(crate) const ICMP6_ERRORS: &str = "Icmp6InDestUnreachs";

/// Counters by the kernel's name, without their group: `OutRsts`, `TCPKeepAlive`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads the counters of the calling thread's network namespace. In a namespace that was just
    /// made all are 0, so what they show is what happened in it.
    pub(crate) fn here() -> Result<Self, Error> {
        let mut counters = Self::default();
        for (file, group) in GROUPS {
            let path = format!("/proc/thread-self/net/{file}");
            let text = fs::read_to_string(&path).map_err(|source| Error::System {
                tried: format!("read {path}"),
                source,
                help: "check that /proc is mounted",
            })?;
            let read = parse(&text, group).map_err(|why| Error::Format { what: path, why })?;
            let own = |(name, _): &(String, u64)| group != "Icmp" || name == ICMP_ERRORS;
            counters.0.extend(read.into_iter().filter(own));
        }
        // Absent where the kernel has no IPv6.
        let text = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
        let icmp6 = text
            .lines()
            .find_map(|line| line.strip_prefix(ICMP6_ERRORS));
        if let Some(count) = icmp6.and_then(|count| count.trim().parse().ok()) {
            counters.0.insert(ICMP6_ERRORS.to_owned(), count);
        }
        Ok(counters)
    }

    /// Counts this many more under a name.
    pub(crate) fn add(&mut self, name: &str, count: u64) {
        *self.0.entry(name.to_owned()).or_default() += count;
    }

    /// Counts from 0 again under a name.
    pub(crate) fn clear(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Adds counters of other names.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// One counter; a name that this kernel does not have counts nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

impl<const N: usize> From<[(&str, u64); N]> for Counters {
    fn from(counts: [(&str, u64); N]) -> Self {
        Self(counts.map(|(name, count)| (name.to_owned(), count)).into())
    }
}

/// The two lines of a group: names, then numbers.
fn parse(text: &str, group: &str) -> Result<BTreeMap<String, u64>, String> {
    let prefix = format!("{group}: ");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return Err(format!("it has no two lines that begin with {group}:"));
    };
    let names: Vec<&str> = names.split_whitespace().collect();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    if names.len() != numbers.len() {
        return Err(format!(
            "{group} has {} names and {} numbers",
            names.len(),
            numbers.len()
        ));
    }
    names
        .into_iter()
        .zip(numbers)
        // MaxConn is -1 by definition (RFC 4022) and counts nothing.
        .filter(|(name, _)| *name != "MaxConn")
        .map(|(name, number)| {
            let count = number
                .parse()
                .map_err(|_| format!("{name} is {number}, not a count"))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: RtoAlgorithm MaxConn EstabResets OutRsts
Tcp: 1 -1 2 3
Udp: InDatagrams
Udp: 0
";

    #[test]
    fn reads_the_group_asked_for() {
        let read = parse(SNMP, "Tcp").unwrap();
        let read: Vec<(&str, u64)> = read.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(
            read,
            [("EstabResets", 2), ("OutRsts", 3), ("RtoAlgorithm", 1)]
        );
        assert!(parse(SNMP, "TcpExt").is_err());
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for wrong in [
            "",
            "Tcp: A B\n",
            "Tcp: A B\nTcp: 1\n",
            "Tcp: A\nTcp: x\n",
            "Tcp: A\nTcp: -1\n",
        ] {
            assert!(parse(wrong, "Tcp").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn reads_this_machine() {
        assert!(Counters::here().unwrap().0.contains_key("TCPKeepAlive"));
    }
}
