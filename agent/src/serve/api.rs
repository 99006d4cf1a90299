//! `/api/v1`: what names peers and owners, for those on this machine.
//! It must never answer another machine, nor a page of the web that came in by a browser here.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use hyper::{HeaderMap, StatusCode, header::HOST};

use crate::{
    filter::Filter,
    host::cgroups,
    model::{
        connection::Connection,
        judged::{Judged, Reading},
        liveness::Thresholds,
    },
    render::list::{self, Report},
};

/// Where connections are listed.
pub const CONNECTIONS: &str = "/api/v1/connections";

/// Connections of one answer, where the question sets no limit.
const DEFAULT_LIMIT: usize = 10_000;
/// Connections of one answer at most: some 100 MB of JSON.
const MOST: usize = 100_000;

/// Which connections an answer is to have.
pub type Wanted = Box<dyn Fn(&Connection) -> bool + Send>;

/// Reads connections afresh: those of a namespace or all, at most so many, that are wanted.
pub type Lister = Box<dyn Fn(Option<u32>, usize, Wanted) -> Result<Reading, String> + Send + Sync>;

/// What the API answers from; empty until the hooks run.
#[derive(Clone, Default)]
pub struct Api(Arc<OnceLock<(Lister, Thresholds)>>);

/// Why there is no answer: what to say, and with which status.
pub type Refusal = (StatusCode, String);

impl Api {
    /// Begins to answer. Said twice, the first stands.
    pub fn open(&self, lister: Lister, thresholds: Thresholds) {
        let _ = self.0.set((lister, thresholds));
    }

    /// The connections that a query asks for, as JSON; blocks while they are read.
    ///
    /// # Errors
    /// When the query is wrong, or connections cannot be read.
    pub fn connections(&self, query: &str) -> Result<String, Refusal> {
        let question =
            Question::parse(query).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
        let Some((lister, thresholds)) = self.0.get() else {
            let reason = "the hooks are not attached yet; try again in a second";
            return Err((StatusCode::SERVICE_UNAVAILABLE, reason.into()));
        };
        let Question {
            all,
            netns,
            limit,
            filter,
        } = question;
        let judge_by = *thresholds;
        let wanted = move |connection: &Connection| {
            let judged = Judged::new(connection.clone(), &judge_by);
            (all || judged.is_noteworthy()) && filter.matches(&judged)
        };
        let reading = lister(netns, limit, Box::new(wanted))
            .map_err(|reason| (StatusCode::SERVICE_UNAVAILABLE, reason))?;
        let judged = reading.connections.into_iter();
        let mut rows: Vec<Judged> = judged.map(|c| Judged::new(c, thresholds)).collect();
        rows.sort_by(Judged::worst_first);
        let report = Report {
            rows: &rows,
            total: reading.total,
            beyond_limit: reading.left_out,
            noteworthy_only: !all,
            uncertain: 0,
            unseen_namespaces: reading.unseen_namespaces,
            cut_short: reading.cut_short,
            source: reading.source,
            thresholds: *thresholds,
        };
        list::json(&report).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    all: bool,
    netns: Option<u32>,
    limit: usize,
    filter: Filter,
}

impl Question {
    fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self {
            all: false,
            netns: None,
            limit: DEFAULT_LIMIT,
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "all" => {
                    question.all = match &*value {
                        "" | "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err("all is true or false".into()),
                    };
                }
                "netns" => {
                    let number = value.parse().map_err(|_| {
                        "netns is the inode number of a network namespace, as `ls -L -i /proc/PID/ns/net` shows it"
                    })?;
                    question.netns = Some(number);
                }
                "limit" => {
                    let number = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit));
                    question.limit =
                        number.ok_or_else(|| format!("limit is a number from 1 to {MOST}"))?;
                }
                "filter" => {
                    question.filter = parse(&value)?;
                }
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are all, netns, limit and filter"
                    ));
                }
            }
        }
        Ok(question)
    }
}

/// Cgroups are named by their path here too.
fn parse(typed: &str) -> Result<Filter, String> {
    let mut filter = Filter::parse(typed).map_err(|error| error.to_string())?;
    filter
        .resolve_cgroups(cgroups::id)
        .map_err(|error| error.to_string())?;
    Ok(filter)
}

/// Whether a request may see what names peers: it must come from this machine, and must have been
/// meant for it (a page of the web can have its own name point here).
pub fn admits(peer: SocketAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err((StatusCode::FORBIDDEN, reason.to_owned()));
    if !peer.ip().to_canonical().is_loopback() {
        return refuse(
            "peers and processes are shown on this machine alone: ask over 127.0.0.1 or [::1]",
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
    fn questions() {
        let parsed =
            Question::parse("all=true&netns=4026531840&limit=5&filter=state+established").unwrap();
        assert!(parsed.all);
        assert_eq!((parsed.netns, parsed.limit), (Some(4_026_531_840), 5));
        assert_eq!(parsed.filter, Filter::parse("state established").unwrap());
        assert_eq!(Question::parse("").unwrap().limit, DEFAULT_LIMIT);
        for (wrong, said) in [
            ("all=yes", "all is"),
            ("netns=-1", "netns is"),
            ("netns=99999999999", "netns is"),
            ("limit=0", "limit is"),
            ("limit=100001", "limit is"),
            ("filter=state+nonsense", "filter, at"),
            ("filter=%ff%fe(", "filter, at"),
            ("fliter=x", "no parameter \"fliter\""),
        ] {
            let reason = Question::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }

    #[test]
    fn only_this_machine_is_admitted() {
        let check = |peer: &str, host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            let admitted = admits(peer.parse().unwrap(), &headers).is_ok();
            assert_eq!(admitted, expected, "{peer} {host}");
        };
        check("127.0.0.1:5", "127.0.0.1:9841", true);
        check("127.0.0.1:5", "localhost:9841", true);
        check("[::1]:5", "[::1]:9841", true);
        check("[::ffff:127.0.0.1]:5", "127.0.0.1", true);
        check("192.0.2.1:5", "127.0.0.1:9841", false);
        check("127.0.0.1:5", "evil.example:9841", false);
    }
}
