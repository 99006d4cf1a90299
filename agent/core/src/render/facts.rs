//! Facts in the form programs read, shared by all JSON.
//!
//! # Invariants
//! A key means the same wherever it appears.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::connection::{self, Known};

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// IPv4, or IPv6 in the form of RFC 5952; a mapped address stays mapped.
    pub address: String,
    /// Its port.
    pub port: u16,
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Self {
            address: socket.ip().to_string(),
            port: socket.port(),
        }
    }
}

/// Keepalive settings in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// `off`, `default` or `custom`; when off, the figures are those that would be in force.
    pub setting: Cow<'static, str>,
    /// TCP_KEEPIDLE.
    pub idle_ms: u64,
    /// TCP_KEEPINTVL.
    pub interval_ms: u64,
    /// TCP_KEEPCNT.
    pub probes: u32,
}

impl From<connection::Keepalive> for Keepalive {
    fn from(keepalive: connection::Keepalive) -> Self {
        Self {
            setting: keepalive.setting.as_str().into(),
            idle_ms: ms(keepalive.idle),
            interval_ms: ms(keepalive.interval),
            probes: keepalive.probes,
        }
    }
}

/// Why facts are unknown, by their names.
#[derive(Debug, Default)]
pub struct Reasons(BTreeMap<String, String>);

impl Reasons {
    /// A fact; where it is unknown, why is noted.
    pub fn fact<T>(&mut self, name: &str, fact: Known<T>) -> Option<T> {
        fact.map_err(|unknown| self.say(name, unknown.to_string()))
            .ok()
    }

    /// A span of time, in milliseconds, likewise.
    pub fn age(&mut self, name: &str, fact: Known<Duration>) -> Option<u64> {
        self.fact(name, fact).map(ms)
    }

    /// A fact that no [`connection::Unknown`] stands for.
    pub fn known_or<T>(&mut self, name: &str, fact: Option<T>, reason: &str) -> Option<T> {
        if fact.is_none() {
            self.say(name, reason.to_owned());
        }
        fact
    }

    /// Notes why something is unknown.
    pub fn say(&mut self, name: &str, reason: String) {
        self.0.insert(name.to_owned(), reason);
    }

    /// All of them.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// Whole milliseconds.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
