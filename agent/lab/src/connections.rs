//! Reads the agent's list of connections, as far as judgements and addresses go.
//! It must never guess: a list in another form is an error, since a connection might hide in it.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::{
    Error,
    form::{Address, Form},
};

const FORM: Form = Form {
    name: "halfopen.list",
    version: 1,
    what: "the agent's list of connections",
};

/// One connection, as the agent tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Connection {
    /// Inode number of its network namespace.
    pub netns: u64,
    local: Address,
    remote: Address,
    /// Its state.
    pub state: String,
    /// Who opened it.
    pub direction: String,
    /// How it fares.
    pub liveness: String,
    /// What makes it a suspect.
    pub evidence: Option<String>,
    /// The judgement's reason, for people.
    pub why: String,
    detect: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Limits {
    idle_ms: Option<Limit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Limit {
    Within(u64),
    Word(Word),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Never,
}

/// How long an idle connection would take to find its peer dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detect {
    /// So many milliseconds.
    Millis(u64),
    /// It never would.
    Never,
}

impl Connection {
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
    pub fn detect(&self) -> Option<Detect> {
        self.detect.idle_ms.as_ref().map(|limit| match limit {
            Limit::Within(ms) => Detect::Millis(*ms),
            Limit::Word(Word::Never) => Detect::Never,
        })
    }
}

#[derive(Deserialize)]
struct List {
    connections: Vec<Connection>,
}

/// Parses a list.
///
/// # Errors
/// When it is none, or of another version.
pub fn parse(text: &str) -> Result<Vec<Connection>, Error> {
    FORM.parse(text).map(|List { connections }| connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"format":"halfopen.list","format_version":1,"source":"bpf","connections":[{
        "netns":4026531840,"local":{"address":"::ffff:192.0.2.1","port":27073},
        "remote":{"address":"192.0.2.2","port":7073},"state":"established","direction":"outbound",
        "liveness":"suspect","evidence":"keepalive","guard":null,"why":"silent",
        "detect":{"idle_ms":14000,"data_ms":null},"cookie":7}]}"#;

    #[test]
    fn reads_what_matters() {
        let connections = parse(ONE).unwrap();
        let one = &connections[0];
        assert_eq!(one.netns, 4_026_531_840);
        assert_eq!(one.local(), "[::ffff:192.0.2.1]:27073".parse().unwrap());
        assert_eq!(one.remote(), "192.0.2.2:7073".parse().unwrap());
        assert_eq!(one.evidence.as_deref(), Some("keepalive"));
        assert_eq!(one.detect(), Some(Detect::Millis(14_000)));
        let with = |limit: &str| parse(&ONE.replace("14000", limit)).unwrap()[0].detect();
        assert_eq!(with("\"never\""), Some(Detect::Never));
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
