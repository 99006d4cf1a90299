//! Real programs whose peer vanishes: how each is started, greeted, and what its death must count.
//! It must never hold a figure that was read off the agent: figures follow from the configuration of
//! the program, as its own documentation explains it, and from the kernel's counters.

mod gunicorn;
mod haproxy;
mod jail;
mod judge;
mod nginx;
mod node;
mod perform;
mod postgresql;
mod redis;
mod session;
mod sshd;

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
};

pub use session::{Outcome, Report, run};

/// Stands for the program's port in its files and its script.
const PORT: &str = "@PORT@";

/// Stands for the port of what is behind it.
const BEHIND: &str = "@BEHIND@";

/// Keepalive as a program is configured to set it on what it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// `custom` where the program sets times of its own, `default` where it leaves them to its
    /// network namespace.
    pub setting: &'static str,
    /// TCP_KEEPIDLE, in seconds.
    pub idle_s: u64,
    /// TCP_KEEPINTVL, in seconds.
    pub interval_s: u64,
    /// TCP_KEEPCNT.
    pub probes: u32,
}

impl Keepalive {
    /// Silence before death: one interval follows the last probe, too.
    const fn dies_after_ms(self) -> u64 {
        (self.idle_s + self.interval_s * self.probes as u64) * 1000
    }
}

/// What the agent counts on one side of the connections with one port.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Which side: `inbound` or `outbound`.
    pub direction: &'static str,
    /// What, and how many; what is not named is 0.
    pub counts: &'static [(&'static str, u64)],
}

/// A server on loopback to which a program passes its clients on.
#[derive(Debug, Clone, Copy)]
pub struct Behind {
    /// Its port.
    pub port: u16,
    /// What ends when the client does, and how.
    pub sides: &'static [Counts],
    /// What the namespace's counters show of that end, both sides together.
    pub kernel: &'static [(&'static str, u64)],
}

/// A program that accepts connections.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// As people call it.
    pub name: &'static str,
    /// Where it listens.
    pub port: u16,
    /// What must be there to start it.
    binary: &'static str,
    /// Who runs it, of the private root's users.
    user: &'static str,
    /// Its configuration, in /run.
    files: &'static [(&'static str, &'static str)],
    /// How it is started, in the foreground.
    script: &'static str,
    /// What its network namespace is told, by path below /proc/sys/net.
    sysctls: &'static [(&'static str, &'static str)],
    /// Says something and hears the answer, after which the program waits for more.
    greet: fn(&mut TcpStream) -> io::Result<()>,
    /// What its configuration says.
    pub keepalive: Keepalive,
    /// What it passes its clients on to.
    pub behind: Option<Behind>,
}

/// Every program. Their settings differ, so that no one's can be taken for another's.
pub const ALL: [Program; 7] = [
    nginx::NGINX,
    haproxy::HAPROXY,
    sshd::SSHD,
    redis::REDIS,
    postgresql::POSTGRESQL,
    node::NODE,
    gunicorn::GUNICORN,
];

impl Program {
    /// A text with the ports in it.
    fn filled(&self, text: &str) -> String {
        let behind = self.behind.map_or(0, |behind| behind.port);
        text.replace(PORT, &self.port.to_string())
            .replace(BEHIND, &behind.to_string())
    }

    /// Why it cannot be started from this root. Who made the root says so in `missing/NAME`.
    fn missing(&self, root: &Path) -> Option<String> {
        if let Ok(why) = fs::read_to_string(root.join("missing").join(self.name)) {
            return Some(why.trim().to_owned());
        }
        let binary = root.join(self.binary);
        (!binary.exists()).then(|| {
            format!(
                "{} is not there: `cargo xtask test` fetches it",
                binary.display()
            )
        })
    }
}

/// Reads up to these bytes.
fn hear(stream: &mut TcpStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        let mut byte = [0];
        if let Err(error) = stream.read_exact(&mut byte) {
            let heard = String::from_utf8_lossy(&heard);
            return Err(io::Error::new(
                error.kind(),
                format!("{error}, after {heard:?}"),
            ));
        }
        heard.push(byte[0]);
    }
    Ok(heard)
}

/// Asks a web server for a page that ends with a line `ok`; the connection stays open (RFC 9112, 9.3).
fn ask_for_page(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    hear(stream, b"\r\n\r\nok\n").map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenarios;

    #[test]
    fn ports_are_nobody_elses() {
        let scenarios = scenarios::all().flat_map(|s| (0..s.forms.len()).map(|form| s.port(form)));
        let mine = ALL.iter().flat_map(|program| {
            [Some(program.port), program.behind.map(|behind| behind.port)]
                .into_iter()
                .flatten()
        });
        let all: Vec<u16> = scenarios.chain(mine).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn settings_tell_programs_apart() {
        let settings: BTreeSet<_> = ALL
            .iter()
            .map(|p| {
                (
                    p.keepalive.idle_s,
                    p.keepalive.interval_s,
                    p.keepalive.probes,
                )
            })
            .collect();
        assert_eq!(settings.len(), ALL.len());
    }

    #[test]
    fn what_is_not_there_is_told() {
        let why = nginx::NGINX.missing(Path::new("/nonexistent")).unwrap();
        assert!(why.contains("/nonexistent/usr/sbin/nginx"), "{why}");
    }
}
