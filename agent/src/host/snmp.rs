//! The kernel's own TCP counters of one network namespace, as /proc/net/snmp and /proc/net/netstat
//! print them (net/ipv4/proc.c).
//!
//! # Invariants
//! A counter that is missing is unknown, not 0.

use std::{fs, io, path::Path};

use halfopen_core::model::accounting::{HostCounter, HostCounts, KernelCounter, KernelCounts};

/// What is read of one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnmpCounters {
    /// The counters that our counts are compared with.
    pub compared: KernelCounts,
    /// Those that are shown as they are.
    pub host: HostCounts,
}

/// Reads the counters of the network namespace whose `net` directory in /proc this is.
///
/// # Errors
/// When a file cannot be read or lacks a counter that is compared.
pub fn read(directory: &Path) -> io::Result<SnmpCounters> {
    let snmp = fs::read_to_string(directory.join("snmp"))?;
    let netstat = fs::read_to_string(directory.join("netstat"))?;
    let parsed = parse(&snmp, &netstat).map(|compared| SnmpCounters {
        compared,
        host: HostCounter::ALL.map(|counter| value(&netstat, "TcpExt:", counter.as_str())),
    });
    parsed.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} lacks one of the counters compared", directory.display()),
        )
    })
}

fn parse(snmp: &str, netstat: &str) -> Option<KernelCounts> {
    let mut counts = KernelCounts::default();
    for (slot, counter) in counts.iter_mut().zip(KernelCounter::ALL) {
        *slot = match counter {
            KernelCounter::OutRsts => value(snmp, "Tcp:", counter.as_str())?,
            _ => value(netstat, "TcpExt:", counter.as_str())?,
        };
    }
    Some(counts)
}

/// The tables come in pairs of lines: names, then values, both after the same prefix.
fn value(text: &str, prefix: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let position = lines
        .next()?
        .split_ascii_whitespace()
        .position(|found| found == name)?;
    lines
        .next()?
        .split_ascii_whitespace()
        .nth(position)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_by_name_not_by_position() {
        let snmp =
            "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm MaxConn OutRsts InErrs\nTcp: 1 -1 7 0\n";
        let netstat =
            "TcpExt: TCPWinProbe X TCPKeepAlive TCPTimeouts TCPAbortOnTimeout\nTcpExt: 3 9 5 4 2\n";
        assert_eq!(parse(snmp, netstat), Some([5, 3, 2, 7, 4]));
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let netstat = "TcpExt: TCPWinProbe TCPAbortOnTimeout\nTcpExt: 3 2\n";
        let snmp = "Tcp: OutRsts\nTcp: 7\n";
        assert_eq!(parse(snmp, netstat), None);
        assert_eq!(parse("", ""), None);
        assert_eq!(value("Tcp: A B\nTcp: 1\n", "Tcp:", "B"), None);
        assert_eq!(value("Tcp: A\nTcp: x\n", "Tcp:", "A"), None);
    }
}
