//! What the kernel programs classify by, read off their sources: which files name the ending of a
//! connection, what the agent hands to the programs, and that no other threshold is among it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use halfopen_common::Ending;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The code of every source file below a folder, comments apart, by its path in there.
fn sources(folder: &Path, prefix: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            found.extend(sources(&path, &format!("{name}/")));
        } else {
            let source = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = source
                .lines()
                .map(|line| line.split("//").next().unwrap())
                .collect();
            found.insert(name, code.join("\n"));
        }
    }
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

fn programs() -> BTreeMap<String, String> {
    let found = sources(&root().join("agent-ebpf/src"), "");
    assert!(found.len() > 30, "{:?}", found.keys());
    found
}

/// Files in which this stands as a whole word.
fn files_with<'a>(programs: &'a BTreeMap<String, String>, word: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let has = |code: &str| {
        code.match_indices(word)
            .any(|(at, _)| !code[at + word.len()..].starts_with(is_part))
    };
    programs
        .iter()
        .filter(|(_, code)| has(code))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Names of the dependencies in a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let section = text.lines().skip_while(|line| *line != "[dependencies]");
    section
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .collect()
}

#[test]
fn each_ending_is_named_in_one_file() {
    let programs = programs();
    for ending in Ending::ALL {
        let file = match ending {
            Ending::ResetSentLive => "hooks/reset/active.rs",
            Ending::ClosedWhilePeerSent => "hooks/reset/reply.rs",
            // TCP_LINGER2 below 0 resets as a FIN is acknowledged.
            Ending::ResetSent => {
                let both = ["hooks/reset/active.rs", "hooks/reset/reply.rs"];
                assert_eq!(files_with(&programs, "Ending::ResetSent"), both);
                continue;
            }
            Ending::ResetReceived | Ending::Refused | Ending::PeerForgot => {
                "hooks/reset/received.rs"
            }
            Ending::RefusedByIcmp
            | Ending::Unreachable
            | Ending::ConnectAbandoned
            | Ending::Unexplained => "hooks/set_state.rs",
            Ending::RequestExpired | Ending::RequestAbandoned | Ending::AcceptQueueFull => {
                "request.rs"
            }
            // tcp_abort() resets connections; in SYN_SENT and LAST_ACK it only closes them.
            Ending::Abort => {
                let both = ["hooks/reset/active.rs", "hooks/set_state.rs"];
                assert_eq!(files_with(&programs, "Ending::Abort"), both);
                continue;
            }
            _ => "death/ending.rs",
        };
        let word = format!("Ending::{ending:?}");
        assert_eq!(files_with(&programs, &word), [file], "{word}");
    }
}

#[test]
fn the_programs_can_name_nothing_of_the_model() {
    assert_eq!(
        dependencies("agent-ebpf/Cargo.toml"),
        ["aya-ebpf", "aya-log-ebpf", "halfopen-common", "zerocopy"]
    );
    assert_eq!(dependencies("agent-common/Cargo.toml"), ["zerocopy"]);
}

#[test]
fn what_is_handed_to_the_programs_is_known() {
    let programs = programs();
    let mut globals = BTreeSet::new();
    let mut writable = BTreeSet::new();
    for code in programs.values() {
        let mut lines = code.lines().peekable();
        while let Some(line) = lines.next() {
            let next = *lines.peek().unwrap_or(&"");
            let words: Vec<&str> = next.split_whitespace().collect();
            let name = words.iter().skip_while(|word| **word != "static").nth(1);
            if line.contains("no_mangle") && name.is_some() {
                globals.extend(name.map(|name| name.trim_end_matches(':').to_owned()));
            }
            if line.contains("static") && line.contains("BPF_F_MMAPABLE") {
                let name = line.split_whitespace().nth(1).unwrap();
                writable.insert(name.trim_end_matches(':').to_owned());
            }
        }
    }
    let expected = ["FAST_PATH", "GENERATION", "KERNEL", "LICENSE"];
    assert!(globals.iter().eq(expected), "{globals:?}");
    let expected = ["LOSSES", "SILENCES", "SWITCHES", "WALK"];
    assert!(writable.iter().eq(expected), "{writable:?}");
    // How many entries to skip and since when there is news; the address of a socket.
    let arguments: Vec<&str> = files_with(&programs, "ctx.arg")
        .into_iter()
        .filter(|file| file.starts_with("walk/"))
        .collect();
    assert_eq!(arguments, ["walk/dump.rs", "walk/suspects.rs"]);
}

#[test]
fn one_threshold_reaches_the_programs() {
    const PLACE: [&str; 7] = [
        "base", "net_ops", "netns", "table", "mask", "bucket", "skip",
    ];
    const RUN: [&str; 8] = [
        "limit",
        "sums",
        "found",
        "changed_chains",
        "unreadable",
        "done",
        "unplaced_ports",
        "padding",
    ];
    const THRESHOLDS: [&str; 1] = ["quiet_jiffies"];
    let common = sources(&root().join("agent-common/src"), "");
    let walk = &common["walk.rs"];
    let fields = walk.split_once("pub struct WalkProgress {").unwrap().1;
    let fields = fields.split_once('}').unwrap().0;
    let fields: BTreeSet<&str> = fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next())
        .collect();
    let known: BTreeSet<&str> = [&PLACE[..], &RUN, &THRESHOLDS]
        .concat()
        .into_iter()
        .collect();
    assert_eq!(fields, known, "is what is new a threshold of the user's?");
    // It sets one bit of a class, and decides nothing else.
    let programs = programs();
    assert_eq!(files_with(&programs, "quiet_jiffies"), ["walk/sum.rs"]);
    assert_eq!(files_with(&programs, "QUIET"), ["walk/sum.rs"]);
    assert_eq!(programs["walk/sum.rs"].matches("flag::QUIET").count(), 1);
}
