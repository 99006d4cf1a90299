//! What a program is: how it is started and greeted, and what its peer's death must count.

use std::{fs, io, net::TcpStream, path::Path};

/// Stands for the program's port in its files and its script.
const PORT: &str = "@PORT@";

/// Stands for the port of what is behind it.
const BACKEND: &str = "@BEHIND@";

/// Keepalive as a program is configured to set it on what it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveConfig {
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

impl KeepaliveConfig {
    /// Silence before death: one interval follows the last probe, too.
    pub(crate) const fn dies_after_ms(self) -> u64 {
        (self.idle_s + self.interval_s * self.probes as u64) * 1000
    }
}

/// What the agent counts on one side of the connections with one port.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedCounts {
    /// Which side: `inbound` or `outbound`.
    pub direction: &'static str,
    /// What, and how many; what is not named is 0.
    pub counts: &'static [(&'static str, u64)],
}

/// A server on loopback to which a program passes its clients on.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Its port.
    pub port: u16,
    /// What ends when the client does, and how.
    pub sides: &'static [ExpectedCounts],
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
    pub(crate) binary: &'static str,
    /// Who runs it, of the private root's users.
    pub(crate) user: &'static str,
    /// Its configuration, in /run.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// How it is started, in the foreground.
    pub(crate) script: &'static str,
    /// Sysctls of its network namespace, by path below /proc/sys/net.
    pub(crate) sysctls: &'static [(&'static str, &'static str)],
    /// Sends a request and reads the response, after which the program waits for more.
    pub(crate) greet: fn(&mut TcpStream) -> io::Result<()>,
    /// What its configuration says.
    pub keepalive: KeepaliveConfig,
    /// What it passes its clients on to.
    pub behind: Option<Backend>,
}

impl Program {
    /// A text with the ports in it.
    pub(crate) fn filled(&self, text: &str) -> String {
        let behind = self.behind.map_or(0, |behind| behind.port);
        text.replace(PORT, &self.port.to_string())
            .replace(BACKEND, &behind.to_string())
    }

    /// Why it cannot be started from this root. Who made the root says so in `missing/NAME`.
    pub(crate) fn missing(&self, root: &Path) -> Option<String> {
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
