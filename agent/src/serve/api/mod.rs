//! `/api/v1`: what names peers and owners, for those on this machine, and those who are known.
//! It must never answer a stranger on another machine, nor a page of the web that came in by a browser
//! here.

mod connections;
mod events;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use hyper::{HeaderMap, StatusCode, header::HOST};
use tokio::sync::{Semaphore, watch};

pub use events::Stream;

use super::{
    feed::Feed,
    visitor::{Peer, Visitor},
};
use crate::host::cgroups;
use halfopen_core::{
    filter::Filter,
    model::{
        judged::{Extent, Reading, Wanted},
        liveness::Thresholds,
    },
};

/// Where connections are listed.
pub const CONNECTIONS: &str = "/api/v1/connections";
/// Where certificates are listed.
pub const DEATHS: &str = "/api/v1/deaths";
/// Where events are streamed.
pub const EVENTS: &str = "/api/v1/events";

/// Streams of events at one time: each takes a connection of the server for as long as it lasts.
const STREAMS: usize = 64;

const NOT_YET: &str = "the hooks are not attached yet; try again in a second";

/// Reads connections afresh: those that are wanted.
pub type Lister = Box<dyn Fn(Extent, Wanted) -> Result<Reading, String> + Send + Sync>;

/// What the API answers from; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Empty until the hooks run.
    lister: Arc<OnceLock<(Lister, Thresholds)>>,
    feed: Feed,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// Why there is no answer: what to say, and with which status.
pub type Refusal = (StatusCode, String);

impl Api {
    /// Answers from this feed, until `stop` becomes true.
    #[must_use]
    pub fn new(feed: Feed, stop: watch::Receiver<bool>) -> Self {
        Self {
            lister: Arc::default(),
            feed,
            streams: Arc::new(Semaphore::new(STREAMS)),
            stop,
        }
    }

    /// Begins to answer. Said twice, the first stands.
    pub fn open(&self, lister: Lister, thresholds: Thresholds) {
        let _ = self.lister.set((lister, thresholds));
    }
}

/// A parameter that is true where it has no value.
fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{name} is true or false")),
    }
}

/// Cgroups are named by their path here too.
fn filter(typed: &str) -> Result<Filter, String> {
    let mut filter = Filter::parse(typed).map_err(|error| error.to_string())?;
    filter
        .resolve_cgroups(cgroups::id)
        .map_err(|error| error.to_string())?;
    Ok(filter)
}

/// Whether a request may see what names peers: it comes by the unix socket, or from one who is known,
/// or else from this machine, and then must have been meant for it (a page of the web can have its own
/// name point here).
pub fn admits(visitor: Visitor, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err((StatusCode::FORBIDDEN, reason.to_owned()));
    let address = match visitor.peer {
        Peer::Socket => return Ok(()),
        Peer::Address(_) if visitor.authenticated => return Ok(()),
        Peer::Address(address) => address.ip().to_canonical(),
    };
    if !address.is_loopback() {
        return refuse(
            "peers and processes are shown on this machine, and elsewhere to those alone who are known by a password or a verified certificate: ask over 127.0.0.1, [::1] or the unix socket, or set up --web.config.file",
        );
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.map_or("", |host| {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok();
    if is_own || host.is_empty() {
        Ok(())
    } else {
        refuse("ask by address, or as localhost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_those_who_are_known_are_admitted() {
        let check = |peer: Option<&str>, authenticated, host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            let address = |peer: &str| Peer::Address(peer.parse().unwrap());
            let visitor = Visitor {
                peer: peer.map_or(Peer::Socket, address),
                authenticated,
            };
            let admitted = admits(visitor, &headers).is_ok();
            assert_eq!(admitted, expected, "{visitor:?} {host}");
        };
        let (loopback, other) = (Some("127.0.0.1:5"), Some("192.0.2.1:5"));
        check(loopback, false, "127.0.0.1:9841", true);
        check(loopback, false, "localhost:9841", true);
        check(Some("[::1]:5"), false, "[::1]:9841", true);
        check(Some("[::ffff:127.0.0.1]:5"), false, "127.0.0.1", true);
        check(loopback, false, "evil.example:9841", false);
        check(loopback, true, "agent.example:9841", true);
        check(other, false, "127.0.0.1:9841", false);
        check(Some("[::ffff:192.0.2.1]:5"), false, "127.0.0.1", false);
        check(other, true, "agent.example:9841", true);
        check(None, false, "whatever", true);
    }
}
