//! Lines and objects of events made by hand.

use std::collections::BTreeSet;

use crate::fixtures::{
    events::{self, deaths, event, everything, kinds, oddities},
    golden,
};
use halfopen_common::Ending;
use halfopen_core::{
    model::event::{Event, EventKind},
    render::events::{Form, Line, Lines, Options, dropped_json},
};
use jiff::tz::{self, TimeZone};
use serde_json::Value;

fn options() -> Options {
    Options {
        zone: TimeZone::fixed(tz::offset(-3)),
        date: false,
        header: true,
        color: false,
    }
}

fn form(event: &Event) -> Form {
    let is_death = matches!(event.kind, EventKind::Death(_));
    Form::new(event, is_death.then_some(7))
}

fn lines(events: &[Event], options: Options) -> String {
    let mut lines = Lines::new(options);
    let mut text = String::new();
    for event in events {
        lines.event(&mut text, &form(event));
    }
    lines.dropped(&mut text, 1);
    lines.dropped(&mut text, 1_204);
    text
}

#[test]
fn one_line_an_event() {
    golden("events/kinds.txt", &lines(&kinds(), options()));
    golden("events/deaths.txt", &lines(&deaths(), options()));
    golden("events/oddities.txt", &lines(&oddities(), options()));
    let by_path: Vec<_> = Ending::ALL.into_iter().map(events::death_by).collect();
    golden("events/paths.txt", &lines(&by_path, options()));
}

#[test]
fn lines_are_aligned_and_end_where_they_end() {
    for events in [kinds(), deaths()] {
        let text = lines(&events, options());
        // A title, a line for each, and two that tell of losses.
        assert_eq!(text.lines().count(), events.len() + 3);
        let titles = text.lines().next().unwrap();
        for title in ["EVENT", "CAUSE", "LOCAL", "REMOTE", "OWNER", "DETAIL"] {
            let column = titles.find(title).unwrap();
            for line in text.lines() {
                assert_eq!(&line[column - 2..column], "  ", "{title}: {line}");
                assert_ne!(&line[column..=column], " ", "{title}: {line}");
            }
        }
    }
    for line in lines(&everything(), options()).lines() {
        assert_eq!(line, line.trim_end());
        assert!(!line.is_empty());
    }
}

#[test]
fn without_titles_with_the_day_and_with_colours() {
    let plain = lines(&kinds(), options());
    let bare = Options {
        header: false,
        ..options()
    };
    assert_eq!(
        lines(&kinds(), bare),
        plain.split_once('\n').unwrap().1,
        "only the titles are left out"
    );
    let dated = Options {
        date: true,
        zone: TimeZone::fixed(tz::offset(9)),
        ..options()
    };
    let dated = lines(&kinds(), dated);
    let first = dated.lines().nth(1).unwrap();
    assert!(
        first.starts_with("2025-11-25 01:00:00.123  probe"),
        "{first}"
    );
    let coloured = Options {
        color: true,
        ..options()
    };
    let coloured = lines(&everything(), coloured);
    let mut stripped = coloured.clone();
    for color in ["31", "32", "33", "35", "0"] {
        let code = format!("\u{1b}[{color}m");
        assert!(coloured.contains(&code), "{color}");
        stripped = stripped.replace(&code, "");
    }
    assert_eq!(stripped, lines(&everything(), options()));
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    // An agent that is none may tell anything.
    let json = form(&kinds()[0]).json().unwrap();
    let mut hostile: Value = serde_json::from_str(&json).unwrap();
    let evil = "a\u{1b}[2Jb\nc\u{202e}\u{9b}";
    for key in [
        "time",
        "what",
        "cause",
        "path",
        "evidence",
        "reason",
        "state",
        "direction",
        "owner",
    ] {
        hostile[key] = evil.into();
    }
    hostile["local"]["address"] = evil.into();
    let Line::Event(hostile) = Form::parse(&hostile.to_string()).unwrap() else {
        panic!("it is an event");
    };
    let mut text = lines(&everything(), options());
    Lines::new(options()).event(&mut text, &hostile);
    let forbidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(forbidden), "{text:?}");
    // Programs get the name as it is.
    let owned = oddities()
        .into_iter()
        .find(|event| matches!(&event.connection.owner, Ok(owner) if owner.starts_with("evil")));
    let json = form(&owned.unwrap()).json().unwrap();
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["owner"], "evil\u{1b}[2J\nname\u{202e}");
    assert!(!json.contains('\n'), "one line an object: {json}");
}

#[test]
fn for_programs() {
    let events = [kinds(), deaths(), oddities()].concat();
    let mut text = String::new();
    for event in &events {
        text.push_str(&form(event).json().unwrap());
        text.push('\n');
    }
    text.push_str(&dropped_json(1_204).unwrap());
    text.push('\n');
    golden("events/events.jsonl", &text);
}

#[test]
fn what_is_written_is_read_back() {
    let mut kinds = BTreeSet::new();
    for event in everything() {
        let form = form(&event);
        let json = form.json().unwrap();
        assert_eq!(
            Form::parse(&json),
            Ok(Line::Event(Box::new(form))),
            "{json}"
        );
        kinds.insert(event.kind.as_str());
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert_eq!(
        Form::parse(&dropped_json(12).unwrap()),
        Ok(Line::Dropped(12))
    );
}

#[test]
fn another_version_is_refused() {
    let json = form(&kinds()[0]).json().unwrap();
    let version = |version: &str| json.replace("\"format_version\":1", version);
    let check = |json: &str, said: &[&str]| {
        let reason = Form::parse(json).unwrap_err();
        for said in said {
            assert!(reason.contains(said), "{json}: {reason}");
        }
    };
    check(
        &version("\"format_version\":2"),
        &["of version 2", "of version 1 is understood"],
    );
    // What it lacks or has besides must not hide that.
    check(
        "{\"format\":\"halfopen.event\",\"format_version\":2,\"when\":0}",
        &["of version 2"],
    );
    check(
        &dropped_json(3)
            .unwrap()
            .replace("\"format_version\":1", "\"format_version\":9"),
        &["of version 9"],
    );
    check(
        &json.replace("halfopen.event", "other\\u001b[2J"),
        &["other\\u{1b}[2J", "\"halfopen.event\""],
    );
    check(&version("\"format_version\":\"1\""), &["no event"]);
    check("<html>", &["no event"]);
    check("", &["no event"]);
    check(
        "{\"format\":\"halfopen.event\",\"format_version\":1,\"what\":\"probe\"}",
        &["missing field"],
    );
    check(
        "{\"format\":\"halfopen.event\",\"format_version\":1,\"what\":\"dropped\"}",
        &["missing field `events`"],
    );
}

/// Whoever reads `null` finds the reason under the same name.
#[test]
fn every_null_has_a_reason() {
    let mut nulls = 0;
    for event in everything() {
        let json = form(&event).json().unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        let reasons = value["unknown"].as_object().unwrap();
        for (name, value) in value.as_object().unwrap() {
            assert_eq!(
                value.is_null(),
                reasons.contains_key(name),
                "{name}: {json}"
            );
            nulls += usize::from(value.is_null());
        }
    }
    assert!(nulls > 20);
}

/// Keys that do not apply are left out, and those that do are there.
#[test]
fn keys_by_kind() {
    for event in everything() {
        let value: Value = serde_json::from_str(&form(&event).json().unwrap()).unwrap();
        let has = |key: &str| value.get(key).is_some();
        let what = event.kind.as_str();
        assert_eq!(value["what"], what);
        assert_eq!(has("number"), what == "death");
        assert_eq!(has("cause"), what == "death");
        assert_eq!(has("path"), what == "death");
        let evidence = ["probe", "timeout", "answer", "recovery"].contains(&what);
        assert_eq!(has("evidence"), evidence, "{what}");
        assert!(what != "reset_sent" || has("reason"));
    }
    let reset = event(EventKind::ResetSent("unknown".into()), |_| {});
    let value: Value = serde_json::from_str(&form(&reset).json().unwrap()).unwrap();
    assert_eq!(value["reason"], "unknown");
    assert_eq!(value["time"], "2025-11-24T16:00:00.123456Z");
}
