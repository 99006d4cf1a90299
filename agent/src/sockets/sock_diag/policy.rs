//! Settings of a network namespace that decide how long a connection waits, as /proc/sys shows them.
//!
//! # Invariants
//! A sysctl that cannot be read is unknown, not its default.

use std::{fs, io, path::Path, time::Duration};

use halfopen_core::model::connection::Policy;

/// Reads the settings from the directory that is /proc/sys/net/ipv4 of a thread in that namespace.
///
/// # Errors
/// When one of them cannot be read, or is no number.
pub fn read(directory: &Path) -> io::Result<Policy> {
    // Written in jiffies and shown in seconds (ipv4_net_table in net/ipv4/sysctl_net_ipv4.c).
    let seconds = |name| number(directory, name).map(|it| Duration::from_secs(it.into()));
    let times = |name| number(directory, name);
    Ok(Policy {
        keepalive_idle: seconds("tcp_keepalive_time")?,
        keepalive_interval: seconds("tcp_keepalive_intvl")?,
        keepalive_probes: times("tcp_keepalive_probes")?,
        retries2: times("tcp_retries2")?,
        orphan_retries: times("tcp_orphan_retries")?,
        syn_retries: times("tcp_syn_retries")?,
        // Absent before Linux 6.5.
        syn_linear_timeouts: match times("tcp_syn_linear_timeouts") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            other => other?,
        },
        synack_retries: times("tcp_synack_retries")?,
        fin_timeout: seconds("tcp_fin_timeout")?,
    })
}

fn number(directory: &Path, name: &str) -> io::Result<u32> {
    let path = directory.join(name);
    let text = fs::read_to_string(&path)?;
    text.trim().parse().map_err(|error| {
        let why = format!(
            "{}: {:?} is no number: {error}",
            path.display(),
            text.trim()
        );
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [(&str, &str); 9] = [
        ("tcp_keepalive_time", "1200\n"),
        ("tcp_keepalive_intvl", "30\n"),
        ("tcp_keepalive_probes", "4\n"),
        ("tcp_retries2", "8\n"),
        ("tcp_orphan_retries", "2\n"),
        ("tcp_syn_retries", "3\n"),
        ("tcp_syn_linear_timeouts", "2\n"),
        ("tcp_synack_retries", "1\n"),
        ("tcp_fin_timeout", "15\n"),
    ];

    fn settings() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in SETTINGS {
            fs::write(folder.path().join(name), value).unwrap();
        }
        folder
    }

    #[test]
    fn each_setting_has_its_file() {
        let expected = Policy {
            keepalive_idle: Duration::from_secs(1200),
            keepalive_interval: Duration::from_secs(30),
            keepalive_probes: 4,
            retries2: 8,
            orphan_retries: 2,
            syn_retries: 3,
            syn_linear_timeouts: 2,
            synack_retries: 1,
            fin_timeout: Duration::from_secs(15),
        };
        assert_eq!(read(settings().path()).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_no_default() {
        for (name, _) in SETTINGS {
            let folder = settings();
            let path = folder.path().join(name);
            for value in ["", "-1\n", "7x\n", "4294967296\n"] {
                fs::write(&path, value).unwrap();
                let error = read(folder.path()).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
            }
            fs::remove_file(&path).unwrap();
            if name == "tcp_syn_linear_timeouts" {
                assert_eq!(read(folder.path()).unwrap().syn_linear_timeouts, 0);
                continue;
            }
            let error = read(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
        }
    }
}
