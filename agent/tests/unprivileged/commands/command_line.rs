//! Wrong input on the command line of the real binary: one sentence and an exit code each.

use std::{net::TcpListener, process::Stdio};

use crate::{
    fixtures::nobody::run_unprivileged,
    support::binary::{halfopen, run, sentence, stderr},
};

/// Usage errors: exit 2, and the text says what would be right.
fn usage(arguments: &[&str], expected: &[&str]) {
    let output = run(arguments);
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for text in expected {
        assert!(
            stderr.contains(text),
            "{arguments:?} lacks {text:?}: {stderr}"
        );
    }
}

#[test]
fn usage_errors() {
    usage(&[], &["Usage:"]);
    usage(&["nonsense"], &["nonsense"]);
    usage(&["agent", "--nonsense"], &["--nonsense"]);
    usage(&["agent", "stray"], &["stray"]);
    usage(
        &["agent", "--hooks", "magic"],
        &["magic", "auto", "fentry", "kprobe", "tracepoint"],
    );
    usage(
        &["doctor", "--hooks", "magic"],
        &["magic", "auto", "fentry", "kprobe", "tracepoint"],
    );
    usage(
        &["agent", "--log-level", "loud"],
        &["error", "warn", "info", "debug", "trace"],
    );
    usage(&["agent", "--log-format", "xml"], &["text", "json"]);
    usage(&["agent", "--max-records", "0"], &["--max-records", "1..="]);
    usage(&["agent", "--max-kernel-groups", "-1"], &[]);
    usage(&["agent", "--max-kernel-groups", "many"], &["many"]);
    usage(&["agent", "--compare-interval", "5"], &["500ms, 5s, 1m"]);
    usage(&["agent", "--compare-interval", "2h"], &["100ms to 1h"]);
    usage(
        &["agent", "--web.telemetry-path", "metrics"],
        &["begins with /"],
    );
    usage(&["agent", "--web.telemetry-path", "/-/ready"], &["taken"]);
    usage(&["agent", "--walk-interval", "often"], &["auto, or a time"]);
    usage(&["agent", "--idle-threshold", "5"], &["--idle-threshold"]);
    usage(&["selftest", "--storm", "5"], &["100..=30000"]);
    usage(
        &["selftest", "--storm", "100", "--scenario", "7"],
        &["--storm", "--scenario"],
    );
}

#[test]
fn bad_lists() {
    usage(&["list", "state", "nonsense"], &["nonsense", "established"]);
    usage(&["list", "dport", ":99999"], &["99999"]);
    usage(
        &["list", "cause", "keepalive"],
        &["at \"cause\"", "halfopen watch"],
    );
    usage(&["list", "--sort", "beauty"], &["beauty", "severity"]);
    usage(&["list", "--fail-on", "anything"], &["zombie", "suspect"]);
    let output = run_unprivileged(&["list"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("CAP_BPF"), "{}", stderr(&output));
}

#[test]
fn filters_of_ignored_deaths() {
    for (filter, expected) in [
        ("suspect", "at \"suspect\" (character 1)"),
        ("age < 1s and idle > 1h", "at \"idle\" (character 14)"),
        ("cgroup /a", "owner nginx.service"),
        ("age < soon", "500ms, 5s"),
        ("cause magic", "keepalive, user_timeout"),
        ("nonsense", "bytes-received"),
        ("", "every death"),
        (" ", "every death"),
    ] {
        usage(&["agent", "--ignore", filter], &["--ignore", expected]);
        let output = halfopen(&["agent"])
            .env("HALFOPEN_IGNORE", filter)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{filter}");
        assert!(stderr(&output).contains(expected), "{filter}");
    }
    // Every one of several is checked; all that is well said is taken.
    let good = "sport = :443 and age < 1s and bytes-received = 0";
    usage(
        &["agent", "--ignore", good, "--ignore", "zombie"],
        &["at \"zombie\""],
    );
    let output = run_unprivileged(&["agent", "--ignore", good, "--ignore", "cause refused"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn bad_listen_addresses() {
    for (address, expected) in [
        ("9841", "no port"),
        (":99999", "\"99999\" is not a port"),
        ("localhost:http", "\"http\" is not a port"),
        ("::1:9841", "in brackets"),
        ("[::1:9841", "in brackets"),
        (
            "http://localhost:9841",
            "\"http://localhost\" is not a host",
        ),
    ] {
        usage(
            &["agent", "--web.listen-address", address],
            &[address, expected],
        );
    }
}

#[test]
fn the_environment_is_checked_like_flags() {
    let output = halfopen(&["agent"])
        .env("HALFOPEN_HOOKS", "magic")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("magic"), "{}", stderr(&output));
}

#[test]
fn help_and_version() {
    for arguments in [&["--help"][..], &["agent", "--help"], &["doctor", "-h"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stderr.is_empty() && !output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
    let output = run(&["--version"]);
    let version = format!("halfopen {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["agent", "--web.listen-address", &address]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let sentence = sentence(&output);
    assert!(
        sentence.contains(&address) && sentence.contains("in use"),
        "{sentence}"
    );
    assert!(sentence.contains("--web.listen-address"), "{sentence}");
    assert!(
        !stderr(&output).contains("hook"),
        "nothing may be attached: {}",
        stderr(&output)
    );
}

#[test]
fn a_failure_is_told_in_the_form_of_the_log() {
    let arguments = [
        "agent",
        "--log-format",
        "json",
        "--web.listen-address",
        "192.0.2.1:0",
    ];
    let stderr = stderr(&run(&arguments));
    let line: serde_json::Value = serde_json::from_str(stderr.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"].as_str().unwrap().contains("192.0.2.1"),
        "{line}"
    );
}

#[test]
fn an_address_of_another_machine() {
    let output = run(&["agent", "--web.listen-address", "192.0.2.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        sentence(&output).contains("192.0.2.1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_host_that_does_not_resolve() {
    let output = run(&["agent", "--web.listen-address", "nothing.invalid:0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        sentence(&output).contains("does not resolve"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn without_privileges_the_agent_says_which() {
    let output = run_unprivileged(&["agent", "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let sentence = sentence(&output);
    assert!(
        sentence.contains("CAP_BPF") && sentence.contains("CAP_PERFMON"),
        "{sentence}"
    );
}

#[test]
fn without_privileges_the_doctor_reports_all_the_same() {
    let output = run_unprivileged(&["doctor"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "type information (BTF)",
        "CAP_BPF              NO",
        "NONE ATTACHED",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let output = run_unprivileged(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["format_version"], 1);
    assert_eq!(report["works"], false);
    assert!(report["error"].is_string(), "{report}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [&["doctor"][..], &["doctor", "--json"], &["--help"]] {
        let mut child = halfopen(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(
            matches!(output.status.code(), Some(0 | 4)),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains("anic"), "{}", stderr(&output));
    }
}
