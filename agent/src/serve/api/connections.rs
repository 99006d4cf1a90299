//! `/api/v1/connections`: connections read afresh and judged.
//! It must never answer from an earlier reading.

use hyper::StatusCode;

use super::{Api, NOT_YET, Refusal, filter, flag};
use halfopen_core::{
    filter::Filter,
    model::{
        connection::Connection,
        judged::{Extent, Judged},
    },
    render::list::{self, Report},
};

/// Connections of one answer, where the question sets no limit.
const DEFAULT_LIMIT: usize = 10_000;
/// Connections of one answer at most: some 100 MB of JSON.
const MOST: usize = 100_000;

impl Api {
    /// The connections that a query asks for, as JSON; blocks while they are read.
    ///
    /// # Errors
    /// When the query is wrong, or connections cannot be read.
    pub fn connections(&self, query: &str) -> Result<String, Refusal> {
        let question =
            Question::parse(query).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
        let Some((lister, thresholds)) = self.lister.get() else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, NOT_YET.into()));
        };
        let Question {
            all,
            extent,
            filter,
        } = question;
        let judge_by = *thresholds;
        let wanted = move |connection: &Connection| {
            let judged = Judged::new(connection.clone(), &judge_by);
            (all || judged.is_noteworthy()) && filter.matches(&judged)
        };
        let reading = lister(extent, Box::new(wanted))
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
    extent: Extent,
    filter: Filter,
}

impl Question {
    fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self {
            all: false,
            extent: Extent {
                netns: None,
                most: DEFAULT_LIMIT,
                processes: false,
            },
            filter: Filter::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "all" => {
                    question.all = flag("all", &value)?;
                }
                "netns" => {
                    let number = value.parse().map_err(|_| {
                        "netns is the inode number of a network namespace, as `ls -L -i /proc/PID/ns/net` shows it"
                    })?;
                    question.extent.netns = Some(number);
                }
                "limit" => {
                    let number = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit));
                    question.extent.most =
                        number.ok_or_else(|| format!("limit is a number from 1 to {MOST}"))?;
                }
                "processes" => {
                    question.extent.processes = flag("processes", &value)?;
                }
                "filter" => {
                    question.filter = filter(&value)?;
                }
                other => {
                    return Err(format!(
                        "there is no parameter {other:?}; there are all, netns, limit, processes and filter"
                    ));
                }
            }
        }
        Ok(question)
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
        let extent = Extent {
            netns: Some(4_026_531_840),
            most: 5,
            processes: false,
        };
        assert_eq!(parsed.extent, extent);
        assert_eq!(parsed.filter, Filter::parse("state established").unwrap());
        assert_eq!(Question::parse("").unwrap().extent.most, DEFAULT_LIMIT);
        for (asked, expected) in [("processes", true), ("processes=1", true), ("all", false)] {
            let question = Question::parse(asked).unwrap();
            assert_eq!(question.extent.processes, expected, "{asked}");
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
            let reason = Question::parse(wrong).unwrap_err();
            assert!(reason.contains(said), "{wrong}: {reason}");
        }
    }
}
