//! `halfopen watch`: wrong arguments, no privileges, and peers that are no agent.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::Output,
    thread,
};

use crate::{
    fixtures::nobody::run_unprivileged,
    support::binary::{run, sentence, stderr},
};

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

#[test]
fn usage_errors() {
    for (arguments, said) in [
        (&["state", "nonsense"][..], "nonsense"),
        (&["dport", ":99999"], "99999"),
        (&["--since-start"], "--from"),
        (&["--from", "http://x:1", "--hooks", "kprobe"], "--hooks"),
        (&["--from", "http://x:1", "--btf", "/x"], "--btf"),
        (&["--from", "127.0.0.1:9841"], "http://HOST:PORT"),
        (&["--from", "https://127.0.0.1:9841"], "http://HOST:PORT"),
        (&["--from", "http://x:1/metrics"], "http://HOST:PORT"),
        (&["--color", "blue"], "auto"),
        (&["--nonsense"], "--nonsense"),
    ] {
        let output = run(&[&["watch"], arguments].concat());
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let help = run(&["watch", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    for word in ["dropped", "--since-start", "Exit codes", "dport"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains("Without --all"), "there is no --all: {help}");
}

#[test]
fn without_privileges_it_says_which() {
    let output = run_unprivileged(&["watch"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let sentence = sentence(&output);
    assert!(sentence.contains("CAP_BPF"), "{sentence}");
    assert!(output.stdout.is_empty());
}

/// Fails in one sentence, with exit code 1.
fn fails(output: &Output, said: &[&str]) {
    let sentence = sentence(output);
    assert_eq!(output.status.code(), Some(1), "{sentence}");
    for said in said {
        assert!(sentence.contains(said), "{said}: {sentence}");
    }
    assert!(!sentence.contains('\u{1b}'), "{sentence:?}");
}

#[test]
fn where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    fails(
        &run(&["watch", "--from", &url(address)]),
        &["cannot reach an agent", &url(address), "refused"],
    );
    fails(
        &run(&["watch", "--from", "http://nothing.invalid:1"]),
        &["cannot reach an agent at http://nothing.invalid:1"],
    );
}

/// What it says of a server that answers this and then closes, or goes on for ever.
fn answered(answer: &[u8], for_ever: Option<&[u8]>) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
            while for_ever.is_some_and(|more| stream.write_all(more).is_ok()) {}
        });
        run(&["watch", "--json", "--from", &url(address)])
    })
}

#[test]
fn servers_that_are_no_agents() {
    const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n\x1b[2Jno such\npage here";
    fails(
        &answered(not_found.as_bytes(), None),
        &["refused (404 Not Found)", "no such page here"],
    );
    fails(
        &answered(b"HTTP/1.1 500 Oh\r\n\r\n", Some(&[b'x'; 65_536])),
        &["refused (500", "xxx"],
    );
    fails(
        &answered(b"", None),
        &["does not answer like a halfopen agent"],
    );
    fails(
        &answered(b"SSH-2.0-OpenSSH_9.2\r\n", None),
        &["does not answer like a halfopen agent"],
    );
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>";
    fails(
        &answered(page.as_bytes(), Some(b"<p>")),
        &["not with events", "is a halfopen agent"],
    );
    let garbage = format!("{STREAM}data: {{\"a\":1}}\n\n");
    fails(
        &answered(garbage.as_bytes(), None),
        &[
            "cannot parse events",
            "no event of halfopen",
            "another version of halfopen?",
        ],
    );
    let newer = "{\"format\":\"halfopen.event\",\"format_version\":2}";
    let newer = format!("{STREAM}data: {newer}\n\n");
    fails(
        &answered(newer.as_bytes(), None),
        &["of version 2, where", "of version 1 is understood"],
    );
    fails(
        &answered(STREAM.as_bytes(), Some(&[b'y'; 4096])),
        &["a line has more than"],
    );
    // Silent from the first, and then gone.
    fails(&answered(STREAM.as_bytes(), None), &["has ended"]);
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n";
    fails(
        &answered(cut.as_bytes(), None),
        &["the connection to", "broke"],
    );
}
