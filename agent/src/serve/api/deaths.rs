//! `/api/v1/deaths`: the deaths that are kept, the newest first.

use super::{
    query::{filter, limit, since},
    state::Api,
};
use crate::serve::response::{HttpError, bad_request, internal_error};
use halfopen_core::{
    filter::{Filter, Subject},
    render::events::{self, Deaths},
};

/// Deaths in one response, if the query sets no limit.
const DEFAULT_LIMIT: usize = 1_000;
/// The largest limit.
const MAX_LIMIT: usize = 100_000;

impl Api {
    /// The kept deaths that match a query, as JSON, the newest first.
    ///
    /// # Errors
    /// When the query is wrong.
    pub fn deaths(&self, query: &str) -> Result<String, HttpError> {
        let query = DeathsQuery::parse(query).map_err(bad_request)?;
        let kept = self.feed.deaths(query.since);
        let mut shown: Vec<_> = kept
            .certificates
            .iter()
            .rev()
            .filter(|death| query.filter.matches_event(&death.event))
            .collect();
        let beyond_limit = shown.len().saturating_sub(query.limit);
        shown.truncate(query.limit);
        events::deaths_json(&Deaths {
            shown,
            beyond_limit,
            arrived: kept.arrived,
            lost: self.feed.lost(),
            kept_at_most: self.feed.kept_at_most(),
            by_cause: kept.by_cause,
        })
        .map_err(|error| internal_error(error.to_string()))
    }
}

/// The parameters of a query.
#[derive(Debug, PartialEq, Eq)]
struct DeathsQuery {
    limit: usize,
    since: u64,
    filter: Filter,
}

impl DeathsQuery {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self {
            limit: DEFAULT_LIMIT,
            since: 0,
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => parsed.limit = limit(&value, MAX_LIMIT)?,
                "since" => parsed.since = since(&value)?,
                "filter" => parsed.filter = filter(Subject::Event, &value)?,
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are limit, since and filter"
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
        assert_eq!(
            DeathsQuery::parse("limit=5&since=7&filter=dport+%3D+:443"),
            Ok(DeathsQuery {
                limit: 5,
                since: 7,
                filter: Filter::parse("dport = :443").unwrap(),
            })
        );
        for (wrong, said) in [
            ("limit=0", "limit is"),
            ("limit=100001", "limit is"),
            ("since=-1", "since is"),
            ("since=x", "since is"),
            ("filter=state+nonsense", "filter, at"),
            ("cause=x", "no parameter \"cause\""),
        ] {
            let reason = DeathsQuery::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }
}
