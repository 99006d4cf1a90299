//! The two ends of a connection in the lab.

use serde::Serialize;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The connecting one.
    Client,
    /// The accepting one.
    Server,
}

/// Both ends.
pub const ENDS: [End; 2] = [End::Client, End::Server];

impl End {
    /// As it is written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The direction that the agent must report for a connection seen from this end.
    #[must_use]
    pub const fn direction(self) -> &'static str {
        match self {
            Self::Client => "outbound",
            Self::Server => "inbound",
        }
    }
}
