//! Which connections a command line chooses, without a kernel.

use clap::{CommandFactory, Parser};

use std::time::Duration;

use super::*;
use crate::commands::list::{Chosen, choose};
use halfopen_core::model::{
    assessed::{Assessed, ConnectionList, ReadMethod},
    connection::{Connection, Outstanding, State, Unknown},
    liveness::fixture::{established, seconds},
};

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    list: ListArgs,
}

fn typed(words: &[&str]) -> Result<ListArgs, clap::Error> {
    let words = ["list"].iter().chain(words);
    Typed::try_parse_from(words).map(|typed| typed.list)
}

/// A healthy one, an idle one without guard, a suspect with retransmissions, and one of which
/// nobody knows whether keepalive is on.
fn connections() -> Vec<Connection> {
    let suspect = established().with_outstanding(Outstanding {
        packets_out: 1,
        retransmits: 3,
        send_window: 1000,
        ..Outstanding::default()
    });
    let suspect = suspect.with(|connection| connection.last_sent = Ok(Duration::ZERO));
    let unsure = established().silent_for(seconds(900)).with(|connection| {
        connection.keepalive = Err(Unknown::NotInSockDiag);
    });
    vec![
        established(),
        established()
            .silent_for(seconds(600))
            .with(|connection| connection.memory = Ok(9000)),
        suspect,
        unsure,
    ]
}

fn chosen(words: &[&str]) -> (Vec<Assessed>, Chosen) {
    let config = typed(words).unwrap().config();
    let reading = ConnectionList {
        connections: connections(),
        unseen_namespaces: 0,
        total: 4,
        left_out: 0,
        incomplete: 0,
        source: ReadMethod::Tables,
    };
    let chosen = choose(&config, &config.filter, reading);
    (chosen.rows.clone(), chosen)
}

fn check(words: &[&str], expected: &[&str]) {
    let (rows, _) = chosen(words);
    let rows: Vec<_> = rows
        .iter()
        .map(|assessed| assessed.verdict.liveness.as_str())
        .collect();
    assert_eq!(rows, expected, "{words:?}");
}

#[test]
fn the_command_line_is_consistent() {
    Typed::command().debug_assert();
}

#[test]
fn which_and_in_which_order() {
    check(&[], &["suspect", "idle_unguarded"]);
    check(&["--limit", "1"], &["suspect"]);
    check(&["--limit", "0"], &["suspect", "idle_unguarded"]);
    check(&["--sort", "-memory"], &["idle_unguarded", "suspect"]);
    check(&["--sort=severity"], &["idle_unguarded", "suspect"]);
    check(&["--idle-threshold", "11m"], &["suspect"]);
    // What is named is shown, whether it is worth worrying about or not.
    check(
        &["idle", ">", "5m"],
        &["idle_unguarded", "idle_guard_unknown"],
    );
    check(&["idle < 5m and not suspect"], &["healthy"]);
    check(&["memory", ">", "8k"], &["idle_unguarded"]);
    // Flags may stand anywhere, and words may be quoted as one.
    check(&["state established", "--all", "(suspect)"], &["suspect"]);
    // What is worth no worry stays away, unless all is asked for.
    check(&["sport 443 and not suspect"], &["idle_unguarded"]);
    check(&["exclude listening"], &["suspect", "idle_unguarded"]);
    check(
        &["state", "established", "not", "suspect"],
        &["idle_unguarded", "healthy"],
    );
    check(
        &["--all", "--sort", "-severity"],
        &["suspect", "idle_unguarded", "idle_guard_unknown", "healthy"],
    );
}

#[test]
fn what_is_left_out_is_counted() {
    let (_, chosen) = chosen(&["--limit", "1"]);
    assert_eq!((chosen.beyond_limit, chosen.uncertain), (1, 1));
    let (_, chosen) = self::chosen(&["state established"]);
    assert_eq!((chosen.rows.len(), chosen.uncertain), (4, 0));
}

#[test]
fn findings() {
    for (words, expected) in [
        (&["--fail-on", "zombie"][..], true),
        (&["--fail-on", "suspect"], true),
        (&["--fail-on", "suspect", "idle > 5m"], false),
        (&["--fail-on", "zombie", "idle > 5m"], true),
        // A limit hides nothing from it.
        (
            &["--fail-on", "zombie", "--sort=severity", "--limit=1"],
            true,
        ),
        (&["--fail-on", "zombie", "sport 1"], false),
        (&[], false),
    ] {
        let (_, chosen) = chosen(words);
        assert_eq!(chosen.failed, expected, "{words:?}");
    }
}

#[test]
fn usage_errors() {
    for (words, expected) in [
        (
            &["state", "foo"][..],
            "filter, at \"foo\" (character 7): it is no state",
        ),
        (
            &["(", "suspect"],
            "filter, at its end: a parenthesis is open",
        ),
        (&["--sort", "size"], "severity, silence"),
        (&["--sort", ""], "severity, silence"),
        (&["--sort", "memory,"], "severity, silence"),
        (&["--color", "blue"], "auto, always, never"),
        (&["--fail-on", "any"], "zombie, suspect"),
        (&["--idle-threshold", "soon"], "500ms, 5s"),
        (&["--limit", "-1"], "'-1'"),
    ] {
        let error = typed(words).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(expected), "{words:?}: {error}");
    }
}

#[test]
fn closed_states_are_no_findings() {
    let reading = ConnectionList {
        connections: vec![established().in_state(State::TimeWait)],
        unseen_namespaces: 0,
        total: 1,
        left_out: 0,
        incomplete: 0,
        source: ReadMethod::SockDiag,
    };
    let config = typed(&["--fail-on", "zombie"]).unwrap().config();
    let chosen = choose(&config, &config.filter, reading);
    assert!(!chosen.failed && chosen.rows.is_empty());
}
