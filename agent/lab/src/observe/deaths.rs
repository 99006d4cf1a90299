//! Reads the agent's death records, as far as causes and figures go. A list in another form is an error: a
//! death might hide in it.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::{
    Error,
    observe::{
        http::Origin,
        json_format::{JsonAddress, JsonFormat},
    },
};

const FORM: JsonFormat = JsonFormat {
    name: "halfopen.deaths",
    version: 1,
    what: "the agent's list of deaths",
};

/// What is asked of an agent at most.
const MOST: usize = 100_000;

/// One death, as the agent certifies it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeathRecord {
    /// Tells it from all others.
    pub number: u64,
    /// What killed it.
    pub cause: String,
    /// On which path of the kernel.
    pub path: String,
    /// Whether the cause follows from the socket's fields alone.
    #[serde(default)]
    pub inferred: bool,
    /// Inode number of its network namespace.
    pub netns: u64,
    local: JsonAddress,
    remote: JsonAddress,
    /// The state it was in.
    pub state: String,
    /// Who opened it.
    pub direction: String,
    /// Whose its cgroup is.
    pub owner: Option<String>,
    /// Whose process accepted it.
    pub accepted_by: Option<String>,
    /// Since its peer's last segment.
    pub silence_ms: Option<u64>,
    /// Since it began.
    pub age_ms: Option<u64>,
    /// Settings in force.
    pub keepalive: Option<KeepaliveRecord>,
    /// Keepalive probes sent.
    pub keepalive_probes: Option<u64>,
    /// Window probes sent.
    pub window_probes: Option<u64>,
    /// Retransmission timeouts.
    pub retransmission_timeouts: Option<u64>,
    /// Probes and retransmission timeouts since the peer was last heard.
    pub unanswered: Option<u64>,
}

/// Keepalive as it was set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeepaliveRecord {
    /// Where it comes from.
    pub setting: String,
    /// TCP_KEEPIDLE.
    pub idle_ms: u64,
    /// TCP_KEEPINTVL.
    pub interval_ms: u64,
    /// TCP_KEEPCNT.
    pub probes: u32,
}

impl DeathRecord {
    /// One that was made by hand.
    #[cfg(test)]
    pub(crate) fn fixture(cause: &str, keepalive_probes: u64) -> Self {
        let [local, remote] = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 7070)).into());
        Self {
            inferred: false,
            number: 1,
            cause: cause.to_owned(),
            path: "idle".to_owned(),
            netns: 1,
            local,
            remote,
            state: "established".to_owned(),
            direction: "outbound".to_owned(),
            owner: None,
            accepted_by: None,
            silence_ms: Some(14_100),
            age_ms: Some(14_200),
            keepalive: None,
            keepalive_probes: Some(keepalive_probes),
            window_probes: Some(0),
            retransmission_timeouts: Some(0),
            unanswered: Some(keepalive_probes),
        }
    }

    /// The same of another connection.
    #[cfg(test)]
    pub(crate) fn between(mut self, local: SocketAddr, remote: SocketAddr) -> Self {
        (self.local, self.remote) = (local.into(), remote.into());
        self
    }

    /// Whether another than its owner accepted it.
    #[must_use]
    pub fn is_accepted_elsewhere(&self) -> bool {
        self.accepted_by.is_some() && self.accepted_by != self.owner
    }

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

    /// The service's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        if self.direction == "inbound" {
            self.local().port()
        } else {
            self.remote().port()
        }
    }
}

/// What an agent has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeathRecords {
    /// How many there were since it began.
    pub arrived: u64,
    /// How many it keeps at most.
    pub kept_at_most: u64,
    /// Matching ones that the answer has no room for.
    pub beyond_limit: u64,
    /// The newest first.
    pub deaths: Vec<DeathRecord>,
}

impl DeathRecords {
    /// Asks an agent for the number of its latest.
    ///
    /// # Errors
    /// When it does not answer, or not as it should.
    pub fn ask_number(origin: &Origin) -> Result<u64, Error> {
        Ok(Self::parse(&origin.text("/api/v1/deaths?limit=1")?)?.arrived)
    }

    /// Asks an agent for those with a number above this one.
    ///
    /// # Errors
    /// When it does not answer, not as it should, or has dropped some already.
    pub fn ask(origin: &Origin, since: u64) -> Result<Self, Error> {
        let path = format!("/api/v1/deaths?limit={MOST}&since={since}");
        let records = Self::parse(&origin.text(&path)?)?;
        let listed = records.deaths.len() as u64;
        if records.arrived.saturating_sub(since) != listed {
            return Err(Error::TooFewKept {
                arrived: records.arrived.saturating_sub(since),
                listed,
            });
        }
        Ok(records)
    }

    /// The same of those that match a filter: others may die on this host meanwhile.
    ///
    /// # Errors
    /// As above.
    pub fn ask_matching(origin: &Origin, since: u64, filter: &str) -> Result<Self, Error> {
        let filter = filter.replace(' ', "+");
        let path = format!("/api/v1/deaths?limit={MOST}&since={since}&filter={filter}");
        let records = Self::parse(&origin.text(&path)?)?;
        let arrived = records.arrived.saturating_sub(since);
        if arrived > records.kept_at_most || records.beyond_limit > 0 {
            return Err(Error::TooFewKept {
                arrived,
                listed: records.deaths.len() as u64,
            });
        }
        Ok(records)
    }

    /// Parses a list.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn parse(text: &str) -> Result<Self, Error> {
        FORM.parse(text)
    }

    /// Those of one side of the connections with this server's port, in one namespace.
    #[must_use]
    pub fn of(&self, direction: &str, port: u16, netns: u64) -> Vec<DeathRecord> {
        let mine = |one: &&DeathRecord| {
            (one.direction.as_str(), one.port(), one.netns) == (direction, port, netns)
        };
        self.deaths.iter().filter(mine).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"format":"halfopen.deaths","format_version":1,"arrived":3,"kept_at_most":9,
        "shown":1,"beyond_limit":0,"deaths":[{"format":"halfopen.event","number":3,"what":"death",
        "cause":"keepalive","path":"idle","netns":4026531840,
        "local":{"address":"192.0.2.1","port":27070},"remote":{"address":"192.0.2.2","port":7070},
        "state":"established","direction":"outbound","silence_ms":14012,"age_ms":null,
        "keepalive":{"setting":"custom","idle_ms":5000,"interval_ms":3000,"probes":3},
        "keepalive_probes":3,"window_probes":0,"retransmission_timeouts":0}]}"#;

    #[test]
    fn reads_what_matters() {
        let records = DeathRecords::parse(ONE).unwrap();
        let mine = records.of("outbound", 7070, 4_026_531_840);
        assert_eq!(
            (mine[0].cause.as_str(), mine[0].age_ms),
            ("keepalive", None)
        );
        assert_eq!(mine[0].keepalive.as_ref().unwrap().idle_ms, 5000);
        assert_eq!(records.of("inbound", 27070, 4_026_531_840), []);
        assert_eq!(records.of("outbound", 7070, 1), []);
    }

    #[test]
    fn who_accepted_is_another_only_where_it_is_known() {
        for (owner, accepted_by, expected) in [
            (None, None, false),
            (Some("a"), None, false),
            (Some("a"), Some("a"), false),
            (Some("a"), Some("b"), true),
            (None, Some("b"), true),
        ] {
            let keys = serde_json::json!({ "owner": owner, "accepted_by": accepted_by });
            let keys = keys.to_string();
            let text = ONE.replace(
                "\"number\":3,",
                &format!("\"number\":3,{},", &keys[1..keys.len() - 1]),
            );
            let records = DeathRecords::parse(&text).unwrap();
            assert_eq!(
                records.deaths[0].is_accepted_elsewhere(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn another_version_is_refused() {
        let other = ONE.replace("\"format_version\":1", "\"format_version\":2");
        assert!(DeathRecords::parse(&other).is_err());
        assert!(DeathRecords::parse("{}").is_err());
    }
}
