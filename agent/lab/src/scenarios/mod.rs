//! The scenarios: for each, what is done and what must then be counted, by whom.
//! It must never hold a figure that was read off the agent: they come from the scenario table of the
//! design, measured on kernels, and from the kernel's own counters.

mod alive;
mod halves;
mod handshakes;
mod idle;
mod resets;
mod revivals;
mod unanswered;
mod unframed;

use crate::{
    Error, Family,
    judgement::{Due, Judgement, judged},
    stage::{Setting, Stage},
};

/// What a kernel counter must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// This and nothing else.
    Exactly(u64),
    /// This or more: it depends on how fast the machine is.
    AtLeast(u64),
}

/// What the agent must have counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This and nothing else.
    Exactly(u64),
    /// What this counter of the same side's namespace shows.
    Kernel(&'static str),
    /// Not fixed by anything but the agent.
    Open,
}

/// What one side of the connection must show.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// The namespace's counters that the scenario fixes; of the [`JUDGED`] ones those not named are 0.
    pub kernel: &'static [(&'static str, Figure)],
    /// The agent's counts, `deaths{cause}`, `resets_sent{reason}` and `recoveries{evidence}` in this
    /// form; those not named
    /// are 0, but `retransmission_timeouts`, which equals TCPTimeouts.
    pub agent: &'static [(&'static str, Count)],
}

/// The counters that every scenario fixes.
pub const JUDGED: [&str; 4] = [
    "TCPKeepAlive",
    "TCPWinProbe",
    "TCPAbortOnTimeout",
    "OutRsts",
];

/// A side at which nothing happens.
pub const QUIET: Side = Side {
    kernel: &[],
    agent: &[],
};

/// What a kernel counts that gives data in flight up.
const GIVEN_UP: &[(&str, Figure)] = &[
    ("TCPTimeouts", Figure::AtLeast(2)),
    ("TCPAbortOnTimeout", Figure::Exactly(1)),
    ("EstabResets", Figure::Exactly(1)),
];

/// A side that accepts a reset.
pub const RESET: Side = Side {
    kernel: &[("EstabResets", Figure::Exactly(1))],
    agent: &[
        ("resets_received", Count::Exactly(1)),
        ("deaths{reset_received}", Count::Exactly(1)),
    ],
};

/// Which connections a scenario is played with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Their addresses.
    pub family: Family,
    /// Where their client sits.
    pub setting: Setting,
}

/// IPv4 in a plain pair.
pub const IPV4: Form = Form {
    family: Family::Ipv4,
    setting: Setting::Plain,
};
const IPV6: Form = Form {
    family: Family::Ipv6,
    setting: Setting::Plain,
};
const SECOND: Form = Form {
    family: Family::Ipv4,
    setting: Setting::Second,
};

const MAPPED: Form = Form {
    family: Family::Mapped,
    setting: Setting::Plain,
};

const V4_ONLY: &[Form] = &[IPV4];
const EVERYWHERE: &[Form] = &[IPV4, IPV6, SECOND, MAPPED];

const HEALTHY: Judgement = judged(&["healthy"]);
const IDLE_GUARDED: Judgement = judged(&["idle_guarded"]);
const IDLE_UNGUARDED: Judgement = judged(&["idle_unguarded"]);
const EMBRYONIC: Judgement = judged(&["embryonic"]);
const ZERO_WINDOW: Judgement = judged(&["zero_window"]);
const HALF_CLOSED: Judgement = judged(&["half_closed"]);
const STALE: Judgement = judged(&["stale_close_wait"]);

/// One way for a connection to die, hang or live on.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its number in the scenario table.
    pub number: u16,
    /// Which of several with that number; empty for the first.
    pub variant: &'static str,
    /// Sets its ports apart from those of its variants.
    pub offset: u16,
    /// What happens in it.
    pub title: &'static str,
    /// Where it is played.
    pub forms: &'static [Form],
    /// The connecting side.
    pub client: Side,
    /// The accepting side.
    pub server: Side,
    /// How an agent must judge it meanwhile; no end may be judged in another way.
    pub judged: &'static [Due],
    /// Makes it happen, and returns when the kernel says that it has.
    pub trigger: fn(&Stage) -> Result<(), Error>,
}

impl Scenario {
    /// Number and variant, as written in reports.
    #[must_use]
    pub fn label(&self) -> String {
        match self.variant {
            "" => self.number.to_string(),
            variant => format!("{}-{variant}", self.number),
        }
    }

    /// Silence before the client's death at least, in whole seconds, from its settings: nothing is
    /// heard after the handshake where it has any.
    #[must_use]
    pub const fn silence_s(&self) -> u64 {
        match self.number {
            7 => 5 + 3 * 3,
            8 => 1 + 11,
            9 => 1 + 2 * 11,
            10 => 1 + 3 * 11,
            // 0.2 s, doubled five times: 200 ms + 400 + 800 + 1,600 + 3,200 + 6,400.
            11 => 12,
            12 => 10,
            20 => 1 + 3 * 4,
            _ => 0,
        }
    }

    /// Whether only hooks on functions can tell its cause: timers that are deferred, and what ICMP
    /// sets off, are out of tracepoints' reach.
    #[must_use]
    pub const fn is_told_by_functions_alone(&self) -> bool {
        matches!(self.number, unframed::DEFERRED | unframed::BY_ICMP)
    }

    /// The server's port in the form with this index.
    #[must_use]
    pub fn port(&self, form: usize) -> u16 {
        7000 + 10 * self.number + self.offset + u16::try_from(form).unwrap_or(9)
    }
}

/// Every scenario, by number.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    let groups: [&'static [Scenario]; 8] = [
        handshakes::SCENARIOS,
        idle::SCENARIOS,
        unanswered::SCENARIOS,
        alive::SCENARIOS,
        halves::SCENARIOS,
        resets::SCENARIOS,
        revivals::SCENARIOS,
        unframed::SCENARIOS,
    ];
    let mut scenarios: Vec<&Scenario> = groups.into_iter().flatten().collect();
    scenarios.sort_by_key(|scenario| (scenario.number, scenario.offset));
    scenarios.into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_form_has_a_port_and_a_label_of_its_own() {
        let ports: Vec<u16> = all()
            .flat_map(|scenario| (0..scenario.forms.len()).map(|form| scenario.port(form)))
            .collect();
        assert_eq!(
            ports.iter().collect::<BTreeSet<_>>().len(),
            ports.len(),
            "{ports:?}"
        );
        let labels: BTreeSet<String> = all().map(Scenario::label).collect();
        assert_eq!(labels.len(), all().count());
    }

    #[test]
    fn the_whole_table_is_there() {
        let numbers: BTreeSet<u16> = all().map(|scenario| scenario.number).collect();
        // Those of the table, and eleven beyond it.
        assert_eq!(Vec::from_iter(numbers), Vec::from_iter(1..=31));
    }
}
