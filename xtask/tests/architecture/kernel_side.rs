//! agent-ebpf records facts: it names code paths, it draws no conclusion about a connection.

use std::path::Path;

use proc_macro2::TokenTree;

use crate::code::{
    sources::Sources,
    tokens::{self, flat},
};

const SOURCES: &str = "agent-ebpf/src";

/// The one file that reads the kernel's memory, at offsets that the agent found in its BTF.
const READS: &str = "agent-ebpf/src/read.rs";

/// Conclusions that the agent's model draws.
const CONCLUSIONS: [&str; 7] = [
    "Assessed",
    "Cause",
    "Evidence",
    "Guard",
    "Liveness",
    "Thresholds",
    "Verdict",
];

/// The durations that the programs know by themselves. A user's threshold comes in a map instead.
const DURATIONS: [&str; 2] = [
    // An interrupted timer's context is no longer believed.
    "STALE_NS",
    // A close whose hook did not run is looked for.
    "MISSED_CLOSE_NS",
];

fn is_duration(name: &str) -> bool {
    let units = ["_NS", "_US", "_MS", "_S", "_SECONDS", "_JIFFIES"];
    units.iter().any(|unit| name.ends_with(unit))
}

fn mistakes(path: &Path, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut after_const = false;
    for (tree, line) in flat(tokens::of(source)) {
        let TokenTree::Ident(name) = tree else {
            after_const = false;
            continue;
        };
        let name = name.to_string();
        let mut add = |what| found.push(format!("{}:{line}: {name} {what}", path.display()));
        let reads = name.starts_with("bpf_probe_read") || name.starts_with("bpf_core_read");
        if reads && path != Path::new(READS) {
            add("belongs in read.rs");
        }
        if CONCLUSIONS.contains(&name.as_str()) {
            add("is the model's to say");
        }
        if after_const && is_duration(&name) && !DURATIONS.contains(&name.as_str()) {
            add("is a duration that no table in this test explains");
        }
        after_const = name == "const" || name == "static";
    }
    found
}

#[test]
fn the_kernel_side_reads_in_one_place_and_draws_no_conclusion() {
    let sources = Sources::of_workspace();
    let files = sources.below(SOURCES).count();
    assert!(files >= 20, "{files} files in {SOURCES}");
    let read = sources.get(Path::new(READS)).unwrap();
    assert!(!mistakes(Path::new("elsewhere.rs"), read).is_empty());
    let found = sources.below(SOURCES);
    let found: Vec<_> = found
        .flat_map(|(path, text)| mistakes(path, text))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn conclusions_and_reads_elsewhere_are_found() {
    let cases = [
        (
            "read.rs",
            "use aya_ebpf::helpers::bpf_probe_read_kernel;",
            0,
        ),
        (
            "sock.rs",
            "use aya_ebpf::helpers::bpf_probe_read_kernel;",
            1,
        ),
        (
            "sock.rs",
            "fn f() { unsafe { generated::bpf_probe_read_kernel_str(a, b, c) } }",
            1,
        ),
        ("sock.rs", "//! bpf_probe_read_kernel reads.\n fn f() {}", 0),
        ("record.rs", "fn f() -> Cause { Cause::Keepalive }", 2),
        (
            "record.rs",
            "const STALE_NS: u64 = 1; fn f(idle_ms: u64) { X_NS }",
            0,
        ),
        ("record.rs", "const IDLE_MS: u64 = 60_000;", 1),
        (
            "record.rs",
            "fn f() { pub(crate) static IDLE_SECONDS: u8 = 1; }",
            1,
        ),
    ];
    for (file, source, expected) in cases {
        let found = mistakes(&Path::new(SOURCES).join(file), source);
        assert_eq!(found.len(), expected, "{source}: {found:?}");
    }
}
