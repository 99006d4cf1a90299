//! What a scenario is: what is done, in which namespaces, and what must then be counted.

use crate::{
    Error,
    classify::{
        expectations::{
            AgentFigure, Expectations, QUIET, RETRANSMISSIONS, RecordExpectation, SideExpectation,
        },
        liveness::LivenessRule,
    },
    net::family::Family,
    observe::capture,
    scenario::stage::{ClientPlace, Stage},
};

/// Which connections a scenario is played with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScenarioForm {
    /// Their addresses.
    pub family: Family,
    /// Where their client sits.
    pub place: ClientPlace,
}

/// IPv4 in a plain pair.
pub const IPV4: ScenarioForm = ScenarioForm {
    family: Family::Ipv4,
    place: ClientPlace::Plain,
};
pub(crate) const IPV6: ScenarioForm = ScenarioForm {
    family: Family::Ipv6,
    place: ClientPlace::Plain,
};
const SECOND: ScenarioForm = ScenarioForm {
    family: Family::Ipv4,
    place: ClientPlace::Second,
};

const MAPPED: ScenarioForm = ScenarioForm {
    family: Family::Mapped,
    place: ClientPlace::Plain,
};

pub(crate) const V4_ONLY: &[ScenarioForm] = &[IPV4];
pub(crate) const BOTH: &[ScenarioForm] = &[IPV4, IPV6];
pub(crate) const OVER_IPV4: &[ScenarioForm] = &[IPV4, SECOND, MAPPED];
pub(crate) const EVERYWHERE: &[ScenarioForm] = &[IPV4, IPV6, SECOND, MAPPED];

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
    pub forms: &'static [ScenarioForm],
    /// The connecting side.
    pub client: SideExpectation,
    /// The accepting side.
    pub server: SideExpectation,
    /// The verdicts that an agent must give meanwhile; no end may have another.
    pub liveness: &'static [LivenessRule],
    /// Makes it happen, and returns when the kernel says that it has.
    pub trigger: fn(&Stage) -> Result<(), Error>,
}

impl Scenario {
    /// One over IPv4 in which nothing is counted.
    pub(crate) const fn new(
        number: u16,
        variant: &'static str,
        offset: u16,
        title: &'static str,
        trigger: fn(&Stage) -> Result<(), Error>,
    ) -> Self {
        Self {
            number,
            variant,
            offset,
            title,
            forms: V4_ONLY,
            client: QUIET,
            server: QUIET,
            liveness: &[],
            trigger,
        }
    }

    /// Number and variant, as written in reports.
    #[must_use]
    pub fn label(&self) -> String {
        match self.variant {
            "" => self.number.to_string(),
            variant => format!("{}-{variant}", self.number),
        }
    }

    /// What it must show.
    #[must_use]
    pub const fn expectations(&self) -> Expectations {
        Expectations {
            client: self.client,
            server: self.server,
            liveness: self.liveness,
            record: self.record(),
        }
    }

    /// What its client's death record must show. Silence is that of its settings: nothing is heard after the
    /// handshake where it has any.
    const fn record(&self) -> RecordExpectation {
        match self.number {
            7 => RecordExpectation::silent_for(5 + 3 * 3),
            8 => RecordExpectation::silent_for(1 + 11),
            9 => RecordExpectation::silent_for(1 + 2 * 11),
            10 => RecordExpectation::silent_for(1 + 3 * 11),
            // 0.2 s, doubled five times: 200 ms + 400 + 800 + 1,600 + 3,200 + 6,400.
            11 => RecordExpectation::silent_for(12),
            12 => RecordExpectation::silent_for(10),
            20 => RecordExpectation::silent_for(1 + 3 * 4),
            // Its peer's probes came each second until the end.
            41 => RecordExpectation {
                silence_ms: (0, 2500),
                timeouts: None,
                unanswered: None,
            },
            // The timeout that finds the connection dead sends nothing. On a slow machine the one answer may come
            // after the first timeouts.
            66 => RecordExpectation {
                silence_ms: (1000 * 12, u64::MAX),
                timeouts: Some(AgentFigure::KernelRange(RETRANSMISSIONS, 1)),
                unanswered: Some(AgentFigure::KernelRange(
                    [capture::DATA_UNANSWERED, RETRANSMISSIONS[1]],
                    1,
                )),
            },
            _ => RecordExpectation::silent_for(0),
        }
    }

    /// The server's port in the form with this index.
    #[must_use]
    pub fn port(&self, form: usize) -> u16 {
        7000 + 10 * self.number + self.offset + u16::try_from(form).unwrap_or(9)
    }
}
