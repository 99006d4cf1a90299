//! What is no filter, and what the error must say; and input that is out to do harm.

use super::{super::Filter, sample};

/// What is no filter; where the error is, and what it must say.
const MALFORMED: [(&str, usize, &str); 75] = [
    ("foo", 1, "here may stand state, exclude, src"),
    ("sport 443 foo", 11, "here may stand state"),
    ("established", 1, "state established"),
    ("close-wait > 5m", 1, "state close-wait"),
    ("state", 6, "established, syn-sent"),
    ("state foo", 7, "it is no state; here may stand established"),
    ("state established exclude", 26, "established"),
    ("state ( established )", 7, "established"),
    ("state and sport 443", 7, "established"),
    ("state close-wait or suspect", 18, "whole filter"),
    ("state established and", 22, "here may stand state"),
    ("exclude exclude", 9, "no state"),
    ("src", 4, "10.0.0.0/8"),
    ("src =", 6, "10.0.0.0/8"),
    ("src > 10.0.0.1", 5, "= or != only"),
    ("src example.com", 5, "not looked up"),
    ("src ::1", 5, "in brackets"),
    ("src 10.0.0.1/33", 5, "from 0 to 32"),
    ("src ( 10.0.0.1 )", 5, "10.0.0.0/8"),
    ("dst [::1", 5, "never closed"),
    ("10.0.0.1", 1, "src or dst"),
    ("*:443", 1, "src or dst"),
    ("sport", 6, ":443"),
    ("dport >=", 9, ":443"),
    ("sport :https", 7, "not looked up"),
    ("sport 10.0.0.1:22", 7, "src or dst"),
    ("sport 65536", 7, "65535"),
    ("dport > *", 9, "neither more nor less"),
    ("sport = = 1", 9, ":443"),
    ("sport and 1", 7, ":443"),
    ("sport 443 = 1", 11, "here may stand and, or"),
    ("autobound", 1, "not supported"),
    ("dev eth0", 1, "not supported"),
    ("fwmark 1", 1, "not supported"),
    ("cgroup", 7, "/system.slice/nginx.service"),
    ("cgroup > /a", 8, "= or != only"),
    ("owner", 6, "nginx.service"),
    ("owner < a", 7, "= or != only"),
    ("owner or suspect", 7, "nginx.service"),
    ("netns here", 7, "inode"),
    ("uid root", 5, "not looked up"),
    ("uid -1", 5, "a uid is a number"),
    ("uid 99999999999999999999", 5, "a uid is a number"),
    ("idle", 5, "idle > 1h"),
    ("idle 1h", 6, "idle > 1h"),
    ("idle >", 7, "500ms"),
    ("idle > 1", 8, "500ms"),
    ("idle > 1.5h", 8, "500ms"),
    ("idle > -1h", 8, "500ms"),
    ("silent > soon", 10, "500ms"),
    ("1h", 1, "idle > 1h"),
    ("memory 64k", 8, "memory > 64k"),
    ("memory > lots", 10, "64k"),
    ("detect", 7, "never"),
    ("detect 1h", 8, "here stands a comparison or never"),
    ("detect > soon", 10, "500ms"),
    ("suspect sooner", 9, "here may stand state"),
    ("age", 4, "age < 1s"),
    ("age 1s", 5, "age < 1s"),
    ("age < soon", 7, "500ms"),
    ("bytes-sent 0", 12, "bytes-sent = 0"),
    ("bytes_received < lots", 18, "64k"),
    ("cause", 6, "keepalive, user_timeout"),
    ("cause death", 7, "keepalive, user_timeout"),
    ("cause > keepalive", 7, "= or != only"),
    ("bytes = 0", 1, "bytes-sent, bytes-received"),
    ("(", 2, "here may stand state"),
    (")", 1, "here may stand state"),
    ("()", 2, "here may stand state"),
    ("( sport 1", 10, "a parenthesis is open"),
    ("sport 1 )", 9, "no parenthesis is open"),
    ("( sport 1 ) )", 13, "no parenthesis is open"),
    ("not", 4, "here may stand state"),
    ("and sport 1", 1, "here may stand state"),
    ("sport 1 or or sport 2", 12, "here may stand state"),
];

#[test]
fn what_is_no_filter() {
    for (typed, position, expected) in MALFORMED {
        let error = Filter::parse(typed).unwrap_err();
        assert_eq!(error.position, position, "{typed}: {error}");
        let sentence = error.to_string();
        assert!(sentence.contains(expected), "{typed}: {sentence}");
        // The sentence names the word, or that it is missing at the end.
        match &error.word {
            Some(word) => assert!(
                sentence.contains(&format!("{word:?}")),
                "{typed}: {sentence}"
            ),
            None => assert!(sentence.contains("at its end"), "{typed}: {sentence}"),
        }
        assert!(!sentence.contains('\n'), "{typed}: {sentence}");
    }
}

/// Neither a panic nor an endless descent, whatever is typed.
#[test]
fn hostile_input() {
    let pieces = [
        "",
        " ",
        "(",
        ")",
        "!",
        "&&",
        "|",
        "=",
        "!=",
        "<",
        ">=",
        "\\",
        "\\\\",
        "\\(",
        "\0",
        "\u{7f}",
        "\u{202e}",
        "é",
        "٣",
        "🦀",
        "state",
        "exclude",
        "established",
        "src",
        "dst",
        "sport",
        "dport",
        "cgroup",
        "owner",
        "netns",
        "uid",
        "suspect",
        "keepalive",
        "zombie",
        "orphan",
        "idle",
        "silent",
        "memory",
        "detect",
        "never",
        "autobound",
        "not",
        "and",
        "or",
        "eq",
        "[",
        "]",
        ":",
        "::",
        "[::1]:",
        "[]",
        "[]:",
        "[/]",
        "/",
        "//",
        "*",
        "**",
        "*:*:*",
        ":*",
        "1",
        "1h",
        "64k",
        "-1",
        "0x10",
        "1e9",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "10.0.0.1/",
        "/8",
        "10//8",
        "[::ffff:1.2.3.4]/96",
        "inet:",
        "inet6:",
        "inet6:[",
        "unix:",
    ];
    let middle = ["", "(", "not", "src", "sport", ">=", "1", "[", ":"];
    for first in pieces {
        for second in middle {
            for third in pieces {
                for joint in ["", " "] {
                    let typed = [first, second, third].join(joint);
                    // Only that it returns counts.
                    if let Ok(filter) = Filter::parse(&typed) {
                        let _ = filter.matches(&sample());
                    }
                }
            }
        }
    }
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    let nested = |depth: usize| format!("{}sport 443{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(64)).unwrap().matches(&sample()));
    let negated = |depth: usize| format!("{} sport 443", "!".repeat(depth));
    assert!(Filter::parse(&negated(64)).unwrap().matches(&sample()));
    for hostile in [
        nested(65),
        nested(100_000),
        negated(65),
        negated(100_000),
        "(!".repeat(100_000),
        "( ".repeat(100_000),
    ] {
        let error = Filter::parse(&hostile).unwrap_err();
        assert!(error.problem.contains("64 deep"), "{error}");
    }
    let long = vec!["sport 443"; 100_000];
    assert!(Filter::parse(&long.join(" ")).unwrap().matches(&sample()));
    assert!(
        Filter::parse(&long.join(" or "))
            .unwrap()
            .matches(&sample())
    );
    let siblings = vec!["( not sport 1 )"; 10_000].join(" and ");
    assert!(Filter::parse(&siblings).unwrap().matches(&sample()));
}

#[test]
fn errors_repeat_nothing_unescaped_and_not_everything() {
    let error = Filter::parse("\u{1b}[31m\u{202e}").unwrap_err().to_string();
    assert!(error.contains(r#""\u{1b}[31m\u{202e}""#), "{error}");
    let error = Filter::parse(&"x".repeat(100_000)).unwrap_err().to_string();
    assert!(error.len() < 500 && error.contains('…'), "{error}");
}
