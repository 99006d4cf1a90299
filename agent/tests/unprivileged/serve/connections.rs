//! Which connections `/api/v1/connections` shows: connections made by hand in place of the kernel's.

use std::collections::BTreeMap;

use crate::{
    fixtures::{
        connections::{others, suspects},
        server::{Fake, TestServer},
    },
    support::http::{body, status},
};
use halfopen::serve::ServerLimits;
use halfopen_core::model::{
    assessed::{ConnectionList, ReadMethod},
    liveness::Thresholds,
};
use serde_json::Value;

/// How many are shown of each verdict, and `noteworthy_only`.
fn shown(server: &TestServer, query: &str) -> (BTreeMap<String, u64>, bool) {
    let answer = server.get(&format!("/api/v1/connections?{query}"));
    assert_eq!(status(&answer), 200, "{answer}");
    let list: Value = serde_json::from_str(body(&answer)).unwrap();
    let mut shown = BTreeMap::new();
    for connection in list["connections"].as_array().unwrap() {
        let liveness = connection["liveness"].as_str().unwrap();
        *shown.entry(liveness.to_owned()).or_default() += 1;
    }
    (shown, list["noteworthy_only"].as_bool().unwrap())
}

#[test]
fn a_filter_shows_what_it_names() {
    let (server, _sampler) = TestServer::start(ServerLimits::default(), Fake::default());
    let lister = |_, wanted: Box<dyn Fn(&_) -> bool + Send>| {
        let mut connections = [suspects(), others()].concat();
        let total = u64::try_from(connections.len()).unwrap();
        connections.retain(|connection| wanted(connection));
        Ok(ConnectionList {
            connections,
            unseen_namespaces: 0,
            total,
            left_out: 0,
            incomplete: 0,
            source: ReadMethod::Tables,
        })
    };
    server.api.open(Box::new(lister), Thresholds::default());
    let worries: &[_] = &[
        ("embryonic", 2),
        ("idle_unguarded", 2),
        ("listening", 1),
        ("orphan", 1),
        ("stale_close_wait", 1),
        ("stale_fin_wait2", 1),
        ("suspect", 3),
        ("unaccepted", 1),
        ("zero_window", 1),
    ];
    let both_close_waits: &[_] = &[("half_closed", 1), ("stale_close_wait", 1)];
    for (query, expected, noteworthy_only) in [
        ("", worries, true),
        ("filter=netns+%3E+1", worries, true),
        ("filter=state+close-wait", both_close_waits, false),
        (
            "filter=state+close-wait+not+owner+other",
            both_close_waits,
            false,
        ),
        (
            "filter=(+state+close-wait+)+or+suspect",
            &[("half_closed", 1), ("stale_close_wait", 1), ("suspect", 3)],
            false,
        ),
        // The one that is healthy stays away: it is only not denied.
        (
            "filter=not+(+state+close-wait+)+and+sport+443+and+not+(+state+listening+)",
            &[
                ("embryonic", 2),
                ("idle_unguarded", 1),
                ("orphan", 1),
                ("stale_fin_wait2", 1),
                ("suspect", 1),
                ("unaccepted", 1),
                ("zero_window", 1),
            ],
            true,
        ),
        ("filter=state+time-wait", &[("closing", 1)], false),
        ("filter=embryonic", &[("embryonic", 3)], false),
        ("filter=state+syn-sent", &[("embryonic", 1)], false),
        (
            "filter=zombie+and+state+fin-wait-2",
            &[("stale_fin_wait2", 1)],
            false,
        ),
        // Whether it ends within its minute or not.
        ("filter=orphan", &[("closing", 1), ("orphan", 1)], false),
        (
            "filter=bytes-received+%3E+1g",
            &[("idle_unguarded", 1)],
            false,
        ),
    ] {
        let expected = expected
            .iter()
            .map(|(liveness, count)| ((*liveness).to_owned(), *count))
            .collect();
        assert_eq!(
            shown(&server, query),
            (expected, noteworthy_only),
            "{query}"
        );
    }
    server.stop();
}
