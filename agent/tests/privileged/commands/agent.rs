//! The agent on this kernel, with its hooks attached: start, scrapes, abuse and end. Numbers of events are
//! lower bounds: other connections live on this machine.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    fixtures::{LIMIT, agent::AgentProcess},
    support::{
        binary::{run, sentence, stderr},
        http::status,
    },
};
use tempfile::TempDir;

const OWN_BTF: &str = "/sys/kernel/btf/vmlinux";

#[test]
#[ignore = "needs root"]
fn attaches_serves_and_ends() {
    for signal in ["-TERM", "-INT"] {
        let mut agent = AgentProcess::start(&[]);
        let metrics = agent.get("/metrics");
        assert_eq!(status(&metrics), 200, "{metrics}");
        assert!(metrics.contains("\nhalfopen_hook_attached{"), "{metrics}");
        assert!(
            metrics.contains("\nhalfopen_kernel_events_total{"),
            "{metrics}"
        );
        let attached =
            |line: &str| line.starts_with("halfopen_hook_attached{") && line.ends_with("} 1");
        assert!(
            metrics.lines().any(attached),
            "no hook is attached: {metrics}"
        );
        let program = "tp_set_state";
        assert!(
            is_loaded(program),
            "{program} is not in the kernel while the agent runs"
        );
        assert_eq!(agent.end(signal).code(), Some(0));
        let ending = agent.wait_for_line("ending");
        assert_eq!(ending["signal"], signal.replace('-', "SIG"));
        // The kernel frees a program a grace period after its last descriptor was closed.
        let deadline = Instant::now() + LIMIT;
        while is_loaded(program) {
            assert!(
                Instant::now() < deadline,
                "{program} was left in the kernel"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a program of this name is in the kernel; attached or not, it would be some agent's.
fn is_loaded(name: &str) -> bool {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .any(|program| program.name_as_str() == Some(name))
}

/// Closes a connection with unread data, so that its port has one reset sent and one received.
fn reset() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"unread").unwrap();
    // Arrived for sure once it can be looked at.
    client.peek(&mut [0; 6]).unwrap();
    drop(client);
    assert!(server.read(&mut [0]).is_err(), "the reset has arrived");
    listener.local_addr().unwrap().port()
}

#[test]
#[ignore = "needs root"]
fn a_burst_and_abuse_leave_it_counting() {
    let mut agent = AgentProcess::start(&[]);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(status(&agent.get("/metrics")), 200);
                }
            });
        }
    });
    let mut slow = TcpStream::connect(agent.address).unwrap();
    slow.write_all(b"GET /metrics HT").unwrap();
    let mut garbage = TcpStream::connect(agent.address).unwrap();
    garbage.write_all(b"\0\x01\x02\r\n\r\n").unwrap();
    let mut answer = String::new();
    garbage.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 400, "{answer}");
    let port = reset();
    let metrics = agent.get("/metrics");
    for (metric, direction, more) in [
        (
            "resets_sent_total",
            "outbound",
            ",reason=\"tcp_abort_on_close\"",
        ),
        ("resets_received_total", "inbound", ""),
    ] {
        // Whose it is depends on where the test runs.
        let name = format!("halfopen_{metric}{{owner=");
        let line = format!(",direction=\"{direction}\",port=\"{port}\"{more}}} 1");
        assert!(
            metrics
                .lines()
                .any(|found| found.starts_with(&name) && found.ends_with(&line)),
            "no {name}…{line} in {metrics}"
        );
    }
    assert_eq!(agent.end("-TERM").code(), Some(0));
}

#[test]
#[ignore = "needs root"]
fn the_doctor_finds_hooks() {
    let output = run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["works"], true);
    let hooks = report["hooks"].as_array().unwrap();
    // Every hook either attached or says why not.
    for hook in hooks {
        let refused = hook["refused"].as_array().unwrap();
        assert!(
            hook["mechanism"].is_string() || !refused.is_empty(),
            "{hook}"
        );
    }
}

/// One sentence that names the file; exit 4 for a lack of the kernel's, 1 for a bad file.
fn bad_btf(path: &Path) {
    let path = path.to_str().unwrap();
    let output = run(&[
        "agent",
        "--web.listen-address",
        "127.0.0.1:0",
        "--btf",
        path,
    ]);
    assert!(
        matches!(output.status.code(), Some(1 | 4)),
        "{path}: {}",
        stderr(&output)
    );
    let sentence = sentence(&output);
    assert!(sentence.contains(path), "{sentence}");
    let output = run(&["doctor", "--btf", path]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
#[ignore = "needs root"]
fn bad_btf_files() {
    let folder = TempDir::new().unwrap();
    let own = fs::read(OWN_BTF).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    bad_btf(&folder.path().join("absent"));
    bad_btf(folder.path());
    bad_btf(&file("empty", b""));
    bad_btf(&file("text", b"this is no BTF"));
    bad_btf(&file("header_alone", &own[..24]));
    bad_btf(&file("truncated", &own[..own.len() / 2]));
    // Still whole, but not this kernel's: one byte of a name differs.
    let mut foreign = own;
    let last = foreign.len() - 2;
    foreign[last] = if foreign[last] == b'x' { b'y' } else { b'x' };
    bad_btf(&file("foreign", &foreign));
}
