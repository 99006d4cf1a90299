//! The list of connections made by hand, at several widths and as JSON.

use crate::fixtures::{
    connections::{by_sock_diag, others, suspects, with_processes},
    golden,
};
use halfopen_core::{
    model::{
        assessed::{Assessed, ReadMethod},
        connection::Connection,
        liveness::Thresholds,
    },
    render::list::{Options, Report, Sort, json, text},
};
use serde_json::Value;

fn assessed(connections: Vec<Connection>) -> Vec<Assessed> {
    let assess = |connection| Assessed::new(connection, &Thresholds::default());
    let mut rows: Vec<_> = connections.into_iter().map(assess).collect();
    Sort::default().sort(&mut rows);
    rows
}

fn everything() -> Vec<Assessed> {
    assessed([suspects(), others()].concat())
}

fn report(rows: &[Assessed]) -> Report<'_> {
    Report {
        rows,
        total: 1204,
        beyond_limit: 0,
        noteworthy_only: false,
        uncertain: 0,
        unseen_namespaces: 3,
        incomplete: 0,
        source: ReadMethod::Tables,
        thresholds: Thresholds::default(),
    }
}

const PLAIN: Options = Options {
    width: None,
    header: true,
    color: false,
};

/// What a person sees: the table, then the notes.
fn seen(report: &Report<'_>, width: Option<usize>) -> String {
    let text = text(report, &Options { width, ..PLAIN });
    format!("{}{}\n", text.table, text.notes.join("\n"))
}

#[test]
fn at_several_widths() {
    let rows = everything();
    let report = report(&rows);
    golden("list/80.txt", &seen(&report, Some(80)));
    golden("list/200.txt", &seen(&report, Some(200)));
    golden("list/wide.txt", &seen(&report, None));
}

/// Where addresses are short, the same width shows more.
#[test]
fn short_addresses_leave_room() {
    let rows = assessed([suspects().remove(0), others().remove(3)].into());
    golden("list/ipv4_80.txt", &seen(&report(&rows), Some(80)));
    golden("list/ipv4_200.txt", &seen(&report(&rows), Some(200)));
}

#[test]
fn what_sock_diag_does_not_tell() {
    let rows = assessed(by_sock_diag());
    let report = Report {
        source: ReadMethod::SockDiag,
        uncertain: 7,
        beyond_limit: 1000,
        noteworthy_only: true,
        incomplete: 1,
        ..report(&rows)
    };
    golden("list/sock_diag_80.txt", &seen(&report, Some(80)));
    golden("list/sock_diag_200.txt", &seen(&report, Some(200)));
    golden("list/sock_diag.json", &json(&report).unwrap());
}

#[test]
fn who_holds_them() {
    let rows = assessed(with_processes([suspects(), others()].concat()));
    let report = report(&rows);
    golden("list/processes_80.txt", &seen(&report, Some(80)));
    golden("list/processes_200.txt", &seen(&report, Some(200)));
    golden("list/processes_wide.txt", &seen(&report, None));
    for width in [None, Some(80), Some(120), Some(200)] {
        let seen = seen(&report, width);
        assert!(seen.contains("nginx:1234:5"), "{seen}");
        assert!(
            seen.contains("?: it was closed meanwhile (PROCESS)"),
            "{seen}"
        );
        let fits = |line: &str| line.chars().count() <= width.unwrap_or(usize::MAX);
        assert!(seen.lines().all(fits), "{width:?}: {seen}");
        let hostile = |c: char| c.is_control() && c != '\n';
        assert!(!seen.contains(hostile), "{seen}");
    }
    let json: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    let mut seen = [0; 3];
    for connection in json["connections"].as_array().unwrap() {
        let processes = &connection["processes"];
        let reason = &connection["unknown"]["processes"];
        assert_eq!(processes.is_null(), !reason.is_null(), "{connection}");
        match processes.as_array().map(Vec::as_slice) {
            None => seen[0] += 1,
            Some([]) => seen[1] += 1,
            Some(named) => {
                seen[2] += 1;
                let first = &named[0];
                assert!(
                    first["name"] == "nginx" || first["name"] == "a:1:2,\u{1b}[2J\n\u{fffd}",
                    "{first}"
                );
            }
        }
    }
    assert!(seen.into_iter().all(|times| times > 1), "{seen:?}");
}

#[test]
fn for_programs() {
    let rows = everything();
    golden("list/list.json", &json(&report(&rows)).unwrap());
}

#[test]
fn nothing_to_show() {
    let report = Report {
        noteworthy_only: true,
        unseen_namespaces: 0,
        ..report(&[])
    };
    let text = text(&report, &PLAIN);
    assert_eq!(text.table, "");
    assert_eq!(
        text.notes,
        ["0 of 1,204 connections shown; without --all, only those worth worrying about"]
    );
    let json: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!(json["connections"], Value::Array(Vec::new()));
}

#[test]
fn no_line_is_too_wide_and_no_address_broken() {
    let rows = everything();
    for width in 80..260 {
        let seen = seen(&report(&rows), Some(width));
        for line in seen.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
            assert_eq!(line, line.trim_end());
        }
        for row in &rows {
            for address in [row.connection.local, row.connection.remote] {
                let address = address.to_string();
                let address = address.strip_suffix(":0").unwrap_or(&address);
                assert!(seen.contains(address), "{width}: {address}\n{seen}");
            }
        }
    }
    // Where it is too narrow for anything, the addresses are still whole.
    let seen = seen(&report(&rows), Some(20));
    assert!(
        seen.contains("[2001:db8:85a3:aaaa:bbbb:cccc:dddd:eeee]:65535"),
        "{seen}"
    );
    assert!(
        seen.contains("[2001:db8:85a3:1111:2222:8a2e:370:7334]:8443"),
        "{seen}"
    );
}

#[test]
fn without_titles_and_with_colours() {
    let rows = assessed(suspects());
    let report = report(&rows);
    let table = |options: &Options| text(&report, options).table;
    let bare = table(&Options {
        header: false,
        ..PLAIN
    });
    assert_eq!(bare, table(&PLAIN).split_once('\n').unwrap().1);
    let coloured = table(&Options {
        color: true,
        ..PLAIN
    });
    assert!(
        coloured.contains("\u{1b}[31msuspect/keepalive\u{1b}[0m  "),
        "{coloured}"
    );
    let stripped = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert_eq!(stripped, table(&PLAIN));
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    let rows = everything();
    for width in [None, Some(80), Some(120), Some(200)] {
        let seen = seen(&report(&rows), width);
        let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!seen.contains(hostile), "{seen}");
    }
    // Programs get the name as it is.
    let json: Value = serde_json::from_str(&json(&report(&rows)).unwrap()).unwrap();
    let connections = json["connections"].as_array().unwrap();
    assert!(
        connections
            .iter()
            .any(|connection| connection["owner"] == "evil\u{1b}[2J\nname\u{202e}")
    );
}

/// Whoever reads `null` finds the reason under the same name.
#[test]
fn every_null_has_a_reason() {
    let rows = [everything(), assessed(by_sock_diag())].concat();
    let json: Value = serde_json::from_str(&json(&report(&rows)).unwrap()).unwrap();
    let mut nulls = 0;
    for connection in json["connections"].as_array().unwrap() {
        let reasons = connection["unknown"].as_object().unwrap();
        let detect = connection["detect"].as_object().unwrap();
        let detect = detect
            .iter()
            .map(|(name, value)| (format!("detect.{name}"), value));
        let facts = connection.as_object().unwrap().iter();
        for (name, value) in facts
            .map(|(name, value)| (name.clone(), value))
            .chain(detect)
        {
            let applies = !["evidence", "guard"].contains(&name.as_str());
            // Of other kinds of sockets they are no facts.
            if ["acceptance", "accept_queue"].contains(&name.as_str()) {
                assert!(
                    value.is_null() || !reasons.contains_key(&name),
                    "{name}: {connection}"
                );
            } else if name != "liveness" && applies {
                assert_eq!(
                    value.is_null(),
                    reasons.contains_key(&name),
                    "{name}: {connection}"
                );
                nulls += usize::from(value.is_null());
            }
        }
    }
    assert!(nulls > 20);
}

#[test]
fn sorted_as_asked() {
    let sorted = |by: &str| {
        let mut rows = everything();
        by.parse::<Sort>().unwrap().sort(&mut rows);
        rows
    };
    let ports = |by: &str| -> Vec<u16> {
        let rows = sorted(by);
        rows.iter()
            .map(|row| row.connection.remote.port())
            .collect()
    };
    assert_eq!(ports("-memory")[..2], [51006, 65535]);
    assert_eq!(ports("memory")[0], 51011);
    // What is unknown comes last either way.
    for by in ["silence", "-silence", "idle", "-idle"] {
        let rows = sorted(by);
        let known = rows.iter().filter(|row| row.connection.silence().is_ok());
        let known = known.count();
        assert!(known < rows.len());
        assert!(
            rows[known..]
                .iter()
                .all(|row| row.connection.silence().is_err()),
            "{by}"
        );
    }
    let owners: Vec<_> = sorted("-owner,local")
        .iter()
        .map(|row| row.connection.owner.clone())
        .collect();
    assert_eq!(owners[0].as_deref(), Ok("nginx.service"));
    assert!(owners.last().unwrap().is_err());
    // Ports are numbers, not text.
    assert_eq!(ports("state,-remote")[0], 65535);
    let severity: Vec<u8> = sorted("severity")
        .iter()
        .map(|row| row.verdict.liveness.severity())
        .collect();
    assert!(severity.is_sorted());
    let error = "memory,size".parse::<Sort>().unwrap_err();
    assert!(
        error.contains("\"size\"") && error.contains("severity, silence, idle, memory, detect")
    );
}

#[test]
fn the_worst_come_first_and_in_the_same_order_each_time() {
    let rows = everything();
    let mut reversed: Vec<_> = everything().into_iter().rev().collect();
    Sort::default().sort(&mut reversed);
    assert_eq!(rows, reversed);
    let severity: Vec<u8> = rows
        .iter()
        .map(|row| row.verdict.liveness.severity())
        .collect();
    assert!(severity.is_sorted_by(|a, b| a >= b));
}
