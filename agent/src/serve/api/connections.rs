//! `/api/v1/connections`: reads the connections, and classifies them.
//!
//! # Invariants
//! Each request reads the sockets again; nothing is cached.

use super::{
    query::{filter, flag, limit},
    state::Api,
};
use crate::serve::response::{HttpError, bad_request, internal_error, unavailable};
use halfopen_core::{
    filter::{Filter, Subject},
    model::{
        assessed::{Assessed, ListOptions, NameProcesses},
        connection::Connection,
    },
    render::list::{self, Report},
};

/// Connections in one response, if the query sets no limit.
const DEFAULT_LIMIT: usize = 10_000;
/// The largest limit: some 100 MB of JSON.
const MAX_LIMIT: usize = 100_000;

impl Api {
    /// The connections that match a query, as JSON; blocks while they are read.
    ///
    /// # Errors
    /// When the query is wrong, or connections cannot be read.
    pub fn connections(&self, query: &str) -> Result<String, HttpError> {
        let query = ConnectionsQuery::parse(query).map_err(bad_request)?;
        let (lister, thresholds) = self.lister()?;
        let ConnectionsQuery {
            all,
            extent,
            filter,
        } = query;
        let classify_by = *thresholds;
        let noteworthy_only = !all && !filter.names_all();
        let wanted = move |connection: &Connection| {
            let assessed = Assessed::new(connection.clone(), &classify_by);
            filter.matches(&assessed) && (all || filter.shows(&assessed))
        };
        let reading = lister(extent, Box::new(wanted)).map_err(unavailable)?;
        let assessed = reading.connections.into_iter();
        let mut rows: Vec<Assessed> = assessed.map(|c| Assessed::new(c, thresholds)).collect();
        rows.sort_by(Assessed::worst_first);
        let report = Report {
            rows: &rows,
            total: reading.total,
            beyond_limit: reading.left_out,
            noteworthy_only,
            uncertain: 0,
            unseen_namespaces: reading.unseen_namespaces,
            incomplete: reading.incomplete,
            source: reading.source,
            thresholds: *thresholds,
        };
        list::json(&report).map_err(|error| internal_error(error.to_string()))
    }
}

/// The parameters of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConnectionsQuery {
    all: bool,
    extent: ListOptions,
    filter: Filter,
}

impl ConnectionsQuery {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self {
            all: false,
            extent: ListOptions {
                netns: None,
                most: DEFAULT_LIMIT,
                processes: NameProcesses::Never,
            },
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "all" => {
                    parsed.all = flag("all", &value)?;
                }
                "netns" => {
                    let number = value.parse().map_err(|_| {
                        "netns is the inode number of a network namespace, as `ls -L -i /proc/PID/ns/net` shows it"
                    })?;
                    parsed.extent.netns = Some(number);
                }
                "limit" => {
                    parsed.extent.most = limit(&value, MAX_LIMIT)?;
                }
                "processes" => {
                    parsed.extent.processes = if flag("processes", &value)? {
                        NameProcesses::Always
                    } else {
                        NameProcesses::Never
                    };
                }
                "filter" => {
                    parsed.filter = filter(Subject::Connection, &value)?;
                }
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are all, netns, limit, processes and filter"
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let parsed =
            ConnectionsQuery::parse("all=true&netns=4026531840&limit=5&filter=state+established")
                .unwrap();
        assert!(parsed.all);
        let extent = ListOptions {
            netns: Some(4_026_531_840),
            most: 5,
            processes: NameProcesses::Never,
        };
        assert_eq!(parsed.extent, extent);
        assert_eq!(parsed.filter, Filter::parse("state established").unwrap());
        assert_eq!(
            ConnectionsQuery::parse("").unwrap().extent.most,
            DEFAULT_LIMIT
        );
        for (asked, expected) in [
            ("processes", NameProcesses::Always),
            ("processes=1", NameProcesses::Always),
            ("processes=0", NameProcesses::Never),
            ("all", NameProcesses::Never),
        ] {
            let parsed = ConnectionsQuery::parse(asked).unwrap();
            assert_eq!(parsed.extent.processes, expected, "{asked}");
        }
        for (wrong, said) in [
            ("all=yes", "all is"),
            ("processes=nginx", "processes is"),
            ("netns=-1", "netns is"),
            ("netns=99999999999", "netns is"),
            ("limit=0", "limit is"),
            ("limit=100001", "limit is"),
            ("filter=state+nonsense", "filter, at"),
            ("filter=%ff%fe(", "filter, at"),
            ("fliter=x", "no parameter \"fliter\""),
        ] {
            let reason = ConnectionsQuery::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }
}
