//! Reads the agent's list of connections, as far as verdicts and addresses go. A list in another form is an
//! error: a connection might hide in it.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::{
    Error,
    observe::json_format::{JsonAddress, JsonFormat},
};

const FORM: JsonFormat = JsonFormat {
    name: "halfopen.list",
    version: 1,
    what: "the agent's list of connections",
};

/// One connection, as the agent lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListedConnection {
    /// Inode number of its network namespace.
    pub netns: u64,
    local: JsonAddress,
    remote: JsonAddress,
    /// Its state.
    pub state: String,
    /// Who opened it.
    pub direction: String,
    /// The verdict.
    pub liveness: String,
    /// What makes it a suspect.
    pub evidence: Option<String>,
    /// The verdict's reason, for people.
    pub why: String,
    /// Since the peer was last heard, where that is known.
    pub silence_ms: Option<u64>,
    detect: DetectionLimits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct DetectionLimits {
    idle_ms: Option<DetectionLimit>,
    now_ms: Option<DetectionLimit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum DetectionLimit {
    Within(u64),
    NeverWord(NeverWord),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NeverWord {
    Never,
}

/// How long a connection would take to find its peer dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectionTime {
    /// So many milliseconds.
    Millis(u64),
    /// It never would.
    Never,
}

impl ListedConnection {
    /// The local end.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local.socket()
    }

    /// The remote end.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote.socket()
    }

    /// How long it would take to find its peer dead as long as nobody writes, where that is known.
    #[must_use]
    pub fn detect(&self) -> Option<DetectionTime> {
        self.detect.idle_ms.as_ref().map(DetectionLimit::time)
    }

    /// How long it takes on the path of the moment, where that is known.
    #[must_use]
    pub fn detect_now(&self) -> Option<DetectionTime> {
        self.detect.now_ms.as_ref().map(DetectionLimit::time)
    }
}

impl DetectionLimit {
    const fn time(&self) -> DetectionTime {
        match self {
            Self::Within(ms) => DetectionTime::Millis(*ms),
            Self::NeverWord(NeverWord::Never) => DetectionTime::Never,
        }
    }
}

#[derive(Deserialize)]
struct ConnectionList {
    connections: Vec<ListedConnection>,
}

/// Parses a list.
///
/// # Errors
/// When it is none, or of another version.
pub fn parse(text: &str) -> Result<Vec<ListedConnection>, Error> {
    FORM.parse(text)
        .map(|ConnectionList { connections }| connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"format":"halfopen.list","format_version":1,"source":"bpf","connections":[{
        "netns":4026531840,"local":{"address":"::ffff:192.0.2.1","port":27073},
        "remote":{"address":"192.0.2.2","port":7073},"state":"established","direction":"outbound",
        "liveness":"suspect","evidence":"keepalive","guard":null,"why":"silent",
        "silence_ms":11400,"detect":{"idle_ms":14000,"data_ms":null,"now_ms":2600},"cookie":7}]}"#;

    #[test]
    fn reads_what_matters() {
        let connections = parse(ONE).unwrap();
        let one = &connections[0];
        assert_eq!(one.netns, 4_026_531_840);
        assert_eq!(one.local(), "[::ffff:192.0.2.1]:27073".parse().unwrap());
        assert_eq!(one.remote(), "192.0.2.2:7073".parse().unwrap());
        assert_eq!(one.evidence.as_deref(), Some("keepalive"));
        assert_eq!(one.detect(), Some(DetectionTime::Millis(14_000)));
        assert_eq!(one.detect_now(), Some(DetectionTime::Millis(2_600)));
        assert_eq!(one.silence_ms, Some(11_400));
        let with = |limit: &str| parse(&ONE.replace("14000", limit)).unwrap()[0].detect();
        assert_eq!(with("\"never\""), Some(DetectionTime::Never));
        assert_eq!(with("null"), None);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for wrong in [
            String::new(),
            "[]".to_owned(),
            "{\"format\":\"halfopen.list\",\"format_version\":1}".to_owned(),
            ONE.replace("_version\":1", "_version\":2"),
            ONE.replace("halfopen.list", "halfopen.doctor"),
            ONE.replace("14000", "\"soon\""),
            ONE.replace("192.0.2.2", "localhost"),
            ONE.replace("\"liveness\":\"suspect\",", ""),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
