//! The sections of the metrics: what can be asked for alone, and the chapters of their documentation.
//!
//! # Invariants
//! Each metric's declaration says to which section it belongs; no name stands here.

use std::str::FromStr;

/// What a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Probes, timeouts and what came back.
    Probes,
    /// Ends of connections.
    Deaths,
    /// Resets sent and received.
    Resets,
    /// SYNs and connects that were not handled as usual.
    Handshakes,
    /// Connections there are now.
    Connections,
    /// The walk over all sockets.
    Walk,
    /// The balance with the kernel's own counters.
    Accounting,
    /// The hooks.
    Hooks,
    /// What was lost on the way.
    Losses,
    /// What is kept and shown by name.
    Budget,
    /// Scrapes.
    Scrapes,
    /// The agent's process.
    Process,
    /// What is running.
    Build,
}

impl Section {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Probes,
        Self::Deaths,
        Self::Resets,
        Self::Handshakes,
        Self::Connections,
        Self::Walk,
        Self::Accounting,
        Self::Hooks,
        Self::Losses,
        Self::Budget,
        Self::Scrapes,
        Self::Process,
        Self::Build,
    ];

    /// The name by which it is asked for.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probes => "probes",
            Self::Deaths => "deaths",
            Self::Resets => "resets",
            Self::Handshakes => "handshakes",
            Self::Connections => "connections",
            Self::Walk => "walk",
            Self::Accounting => "accounting",
            Self::Hooks => "hooks",
            Self::Losses => "losses",
            Self::Budget => "budget",
            Self::Scrapes => "scrapes",
            Self::Process => "process",
            Self::Build => "build",
        }
    }

    /// What it is about, and what its metrics have in common that a line of help has no room for.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Probes => {
                "Keepalive and window probes, and retransmission timeouts. A probe counts as answered when the peer is heard before the next one. Sent minus answered is unanswered; for the latest probe of each connection the answer may still be on its way."
            }
            Self::Deaths => {
                "Connections that ended other than by an orderly close, and those that recovered after silence. The cause is the kernel's code path that ended the connection. `halfopen agent --ignore FILTER` leaves out deaths whose records match. A death whose record was lost (`halfopen_certificates_lost_total`) is counted. Silences, resets and the comparison with the kernel's counters include ignored deaths."
            }
            Self::Resets => {
                "Resets, counted as the kernel does. A reset that belongs to no connection is counted for the owner of the socket that listens at its local address and port; if none listens, its direction and port are `none`."
            }
            Self::Handshakes => {
                "Handshakes that a host under pressure does not handle as usual: full accept queues, SYN cookies, no free local port. Counts without owner are the kernel's own, summed over every network namespace that could be read; the others come from the hooks."
            }
            Self::Connections => {
                "Current connections. Suspects come from the hooks and are at most a second old. All others come from the latest walk and are as old as it (see section `walk`); without a walk they are absent."
            }
            Self::Walk => {
                "The walk, which reads all sockets in all network namespaces. Its interval follows its cost: the more sockets, the less often."
            }
            Self::Accounting => {
                "Accuracy of the counts, compared with the kernel's SNMP counters. Both sides cover the same network namespaces, from the agent's start or the first time it could enter them: kernel + overcounted = hooks + unaccounted, at all times. OutRsts holds the resets that TCP sends, also those that the own firewall stops; it does not hold those that netfilter makes, and neither do the hooks' events compared with it. A kernel counter that could not be read in any namespace is absent."
            }
            Self::Hooks => {
                "How each hook is attached, and what its BPF programs cost. `halfopen doctor` says why a hook is missing."
            }
            Self::Losses => {
                "Data lost between kernel and agent, and full tables. Unless a metric says otherwise, counters of other sections stay exact."
            }
            Self::Budget => {
                "How many groups and records exist, and how many groups are shown by name."
            }
            Self::Scrapes => {
                "Scrapes of these metrics. A scrape is counted when it is answered, so it does not include itself."
            }
            Self::Process => {
                "Resources of the agent's process, under the usual names of exporters."
            }
            Self::Build => "Version and kernel.",
        }
    }
}

/// No section has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no section {0:?} of metrics; there are {all}", all = names())]
pub struct NoSuchSection(String);

fn names() -> String {
    Section::ALL.map(Section::as_str).join(", ")
}

impl FromStr for Section {
    type Err = NoSuchSection;

    fn from_str(typed: &str) -> Result<Self, NoSuchSection> {
        let mut all = Self::ALL.into_iter();
        all.find(|section| section.as_str() == typed)
            .ok_or_else(|| NoSuchSection(typed.to_owned()))
    }
}

/// Some of the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sections(u16);

impl Sections {
    /// Every section.
    pub const ALL: Self = Self((1 << Section::ALL.len()) - 1);

    /// These alone.
    #[must_use]
    pub fn only(sections: &[Section]) -> Self {
        Self(
            sections
                .iter()
                .fold(0, |bits, section| bits | bit(*section)),
        )
    }

    /// All but these.
    #[must_use]
    pub fn without(sections: &[Section]) -> Self {
        Self(Self::ALL.0 & !Self::only(sections).0)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contain(self, section: Section) -> bool {
        self.0 & bit(section) != 0
    }
}

const fn bit(section: Section) -> u16 {
    1 << section as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let two = [Section::Probes, Section::Build];
        for section in Section::ALL {
            assert!(Sections::ALL.contain(section));
            assert_eq!(
                Sections::only(&two).contain(section),
                two.contains(&section)
            );
            assert_eq!(
                Sections::without(&two).contain(section),
                !two.contains(&section)
            );
            assert!(!Sections::only(&[]).contain(section));
            assert!(Sections::without(&[]).contain(section));
        }
    }

    #[test]
    fn names_are_found_and_others_are_told_of_them() {
        for section in Section::ALL {
            assert_eq!(section.as_str().parse(), Ok(section));
        }
        for wrong in ["", "Probes", "probes ", "cpu"] {
            let error = wrong.parse::<Section>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
            for section in Section::ALL {
                assert!(error.contains(section.as_str()), "{error}");
            }
        }
    }
}
