//! Filters of events: what the record of a death tells, and which words mean nothing of a subject.

use std::time::Duration;

use super::*;
use crate::model::{
    connection::CarriedBytes,
    death::{Cause, Path},
    event::{Death, Event, EventKind, fixture},
};

/// A load balancer's health check: 10.0.0.1:443 to 192.0.2.7:51000, reset after 3 ms without a byte.
fn health_check() -> Event {
    Event {
        kind: EventKind::Death(Death {
            cause: Cause::ResetReceived,
            path: Path::ResetReceived,
            reset_reason: None,
            inferred: false,
            idle_before_close: None,
        }),
        connection: sample()
            .connection
            .with(|it| it.carried = Ok(CarriedBytes::default())),
        age: Ok(Duration::from_millis(3)),
        ..fixture::death()
    }
}

fn check_event(filter: &str, event: &Event, expected: bool) {
    let filter_of = |subject| Filter::parse_for(subject, filter);
    let parsed = filter_of(Subject::IgnoredDeath).unwrap();
    assert_eq!(parsed.matches_event(event), expected, "{filter}");
    assert_eq!(filter_of(Subject::Event), Ok(parsed), "{filter}");
}

#[test]
fn facts_of_a_death() {
    let carried = |sent, received| {
        let mut event = health_check();
        event.connection.carried = Ok(CarriedBytes { sent, received });
        event
    };
    for (filter, matching, not_matching) in [
        ("age < 1s", health_check(), fixture::death()),
        ("age <= 3ms", health_check(), fixture::death()),
        ("not age >= 4ms", health_check(), fixture::death()),
        ("bytes-sent = 0", health_check(), carried(1, 0)),
        ("bytes_sent <= 1k", carried(1_024, 0), carried(1_025, 0)),
        ("bytes-received=0", health_check(), carried(0, 1)),
        ("bytes_received >= 5g", carried(0, 6 << 30), carried(0, 1)),
        ("cause reset_received", health_check(), fixture::death()),
        ("cause = reset-received", health_check(), fixture::death()),
        ("cause != keepalive", health_check(), fixture::death()),
        (
            "src 10.0.0.1 sport = :443 age < 1s bytes-received = 0",
            health_check(),
            carried(0, 9),
        ),
        (
            "dst 192.0.2.0/24 and owner nginx*",
            health_check(),
            fixture::death(),
        ),
        (
            "state established silent > 30s",
            health_check(),
            fixture::death(),
        ),
    ] {
        check_event(filter, &matching, true);
        check_event(filter, &not_matching, false);
    }
}

/// Nothing is ignored on a guess.
#[test]
fn what_a_death_does_not_tell_matches_nothing() {
    let mut bare = health_check();
    bare.age = Err(Unknown::BeginningUnseen);
    bare.connection.carried = Err(Unknown::NotOfThisKind);
    bare.connection.owner = Err(Unknown::CgroupGone);
    for condition in [
        "age < 1s",
        "age >= 0s",
        "bytes-sent = 0",
        "bytes-received < 1k",
        "owner nginx*",
    ] {
        check_event(condition, &bare, false);
        check_event(&format!("not {condition}"), &bare, false);
        check_event(
            &format!("{condition} and cause reset_received"),
            &bare,
            false,
        );
        check_event(&format!("{condition} or cause reset_received"), &bare, true);
    }
}

#[test]
fn only_a_death_has_a_cause() {
    let timeout = Event {
        kind: EventKind::Timeout,
        ..health_check()
    };
    for (filter, expected) in [
        ("cause reset_received", false),
        ("not cause reset_received", true),
        ("age < 1s", true),
    ] {
        check_event(filter, &timeout, expected);
    }
}

#[test]
fn words_that_mean_nothing_are_refused_by_name() {
    use Subject::{Connection, IgnoredDeath};
    for (subject, typed, word, said) in [
        (
            IgnoredDeath,
            "suspect",
            "suspect",
            "owner, netns, uid, orphan, silent, age",
        ),
        (
            IgnoredDeath,
            "suspect keepalive",
            "suspect",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "age < 1s and not zombie",
            "zombie",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "( unguarded )",
            "unguarded",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "embryonic",
            "embryonic",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "zero-window",
            "zero-window",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "zero_window",
            "zero_window",
            "not known of a death",
        ),
        (IgnoredDeath, "idle > 1h", "idle", "not known of a death"),
        (
            IgnoredDeath,
            "detect never",
            "detect",
            "not known of a death",
        ),
        (
            IgnoredDeath,
            "memory > 1k",
            "memory",
            "not known of a death",
        ),
        (IgnoredDeath, "cgroup /a", "cgroup", "owner nginx.service"),
        (Connection, "age < 1s", "age", "events alone"),
        (Connection, "sport 1 or age > 1h", "age", "events alone"),
        (Connection, "not cause keepalive", "cause", "events alone"),
    ] {
        assert!(Filter::parse(typed).is_ok(), "{typed}");
        let error = Filter::parse_for(subject, typed).unwrap_err();
        assert_eq!(error.word.as_deref(), Some(word), "{typed}");
        let sentence = error.to_string();
        assert!(sentence.contains(said), "{typed}: {sentence}");
        assert!(
            sentence.contains(&format!("{word:?}")),
            "{typed}: {sentence}"
        );
    }
    for subject in [IgnoredDeath, Connection] {
        let sentence = Filter::parse_for(subject, "nonsense")
            .unwrap_err()
            .to_string();
        let offers = |word| sentence.contains(&format!(" {word}, "));
        assert_eq!(offers("suspect"), subject == Connection, "{sentence}");
        assert_eq!(offers("age"), subject == IgnoredDeath, "{sentence}");
    }
    // Everything that a death does tell.
    let all = "state close-wait src 10.0.0.1 dst 10.0.0.2 sport 1 dport 2 owner a netns 1 uid 2 orphan \
               silent > 1s age > 1s bytes-sent > 1 bytes-received > 1 cause keepalive";
    assert!(Filter::parse_for(IgnoredDeath, all).is_ok());
}
