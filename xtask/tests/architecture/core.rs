//! The core reads no clock, file, socket, environment or time zone: time is an argument.
//!
//! `agent/core/clippy.toml` refuses the calls; this refuses what could lead to them, an import
//! included. Its manifest is checked in `manifests`.

use std::path::Path;

use syn::{ItemUse, visit::Visit};

use crate::code::{
    leaves,
    sources::{Sources, text},
    tokens::{self, named},
};

const SOURCES: &str = "agent/core/src";

/// Words that stand nowhere in the core.
const WORDS: &[&str] = &[
    "fs",
    "env",
    "File",
    "OpenOptions",
    "stdin",
    "stdout",
    "stderr",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "Command",
    "tokio",
    "rustix",
    "libc",
    "aya",
    "hyper",
    "rustls",
    "socket2",
    "unsafe",
];

/// Paths of the standard library that stand nowhere in the core, nor do globs that would bring them.
const PATHS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::process",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::thread::sleep",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

/// Ends of paths that ask for the time or the zone.
const ENDS: &[&str] = &[
    "TimeZone::system",
    "TimeZone::get",
    "Zoned::now",
    "Timestamp::now",
];

#[derive(Default)]
struct Uses(Vec<String>);

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        leaves(&item.tree, &mut Vec::new(), &mut |path, name| {
            let star = if name == "*" { "::*" } else { "" };
            self.0.push(format!("{}{star}", path.join("::")));
        });
    }
}

fn is_forbidden(path: &str) -> bool {
    let below = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    // `use std as other` and `use std::*` open everything.
    path == "std"
        || PATHS.iter().any(|forbidden| below(forbidden, path))
        || ENDS
            .iter()
            .any(|end| path == *end || path.ends_with(&format!("::{end}")))
        || path
            .strip_suffix("::*")
            .is_some_and(|glob| PATHS.iter().any(|forbidden| below(glob, forbidden)))
}

/// What a file of the core names of the outside world.
fn outside(path: &Path, source: &str) -> Vec<String> {
    let mut found = named(path, source, WORDS);
    let mut uses = Uses::default();
    let file = syn::parse_file(source);
    uses.visit_file(&file.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let spelled = tokens::paths(tokens::of(source)).into_iter();
    let spelled = spelled.map(|path| path.segments.join("::"));
    // `std` alone is the start of a group in a `use`, whose leaves are read as such.
    let paths = uses
        .0
        .into_iter()
        .chain(spelled.filter(|path| path != "std"));
    let paths = paths.filter(|path| is_forbidden(path));
    found.extend(paths.map(|name| format!("{}: {name}", path.display())));
    found
}

#[test]
fn the_core_reads_no_clock_file_socket_or_environment() {
    let sources = Sources::of_workspace();
    let files = sources.below(SOURCES).count();
    assert!(files >= 40, "{files} files in {SOURCES}");
    let found = sources.below(SOURCES);
    let found: Vec<_> = found.flat_map(|(path, text)| outside(path, text)).collect();
    assert!(found.is_empty(), "hand it in as an argument: {found:#?}");
}

#[test]
fn clippy_refuses_the_calls_in_the_core() {
    let rules = text("agent/core/clippy.toml");
    for call in [
        "std::time::Instant::now",
        "std::time::Instant::elapsed",
        "std::time::SystemTime::now",
        "std::time::SystemTime::elapsed",
        "std::env::var",
        "std::env::vars",
        "std::env::args",
        "std::env::current_dir",
        "std::fs::read",
        "std::fs::read_to_string",
        "std::fs::write",
        "std::fs::metadata",
        "std::fs::read_dir",
        "std::fs::File",
        "std::fs::OpenOptions",
        "std::path::Path::exists",
        "jiff::tz::TimeZone::system",
        "jiff::Zoned::now",
        "jiff::Timestamp::now",
        "std::net::TcpStream",
        "std::process::Command",
    ] {
        let quoted = format!("\"{call}\"");
        assert!(
            rules.contains(&quoted),
            "agent/core/clippy.toml lacks {call}"
        );
    }
    for line in text("clippy.toml")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert!(
            rules.contains(line),
            "clippy reads the nearest file alone; repeat {line:?}"
        );
    }
}

#[test]
fn what_leads_outside_is_found() {
    let clean = [
        "use std::{fmt, net::IpAddr, time::Duration}; fn f(now: Duration) {}",
        "//! Reads no fs.\n /// An Instant.\n const A: &str = \"std::fs\"; // env",
        "use std::sync::Arc; mod process; use process::Process; use super::*;",
        "use jiff::{Timestamp, tz::TimeZone}; fn f(t: Timestamp, z: TimeZone) { z.to_offset(t); }",
    ];
    for source in clean {
        assert_eq!(outside(Path::new("x.rs"), source), [""; 0], "{source}");
    }
    let faults = [
        "use std::fs;",
        "use std::{fmt, fs as files};",
        "use std as s;",
        "use std::*;",
        "use std::net::*;",
        "use std::{process as p};",
        "use std::time; fn f() { time::Instant::now(); }",
        "fn f() { std::env::var(\"X\"); }",
        "fn f() { println!(\"{:?}\", std::process::id()); }",
        "fn f() { std::time::UNIX_EPOCH; }",
        "fn f() { std::thread::sleep(t) }",
        "mod tests { use std::net::ToSocketAddrs; }",
        "fn f() { let _ = jiff::Zoned::now(); }",
        "use jiff::tz::TimeZone; fn f() { TimeZone::system(); }",
        "use tokio::sync::Mutex;",
        "fn f() { unsafe { g() } }",
    ];
    for source in faults {
        let found = outside(Path::new("x.rs"), source);
        assert!(!found.is_empty(), "{source}");
    }
}
