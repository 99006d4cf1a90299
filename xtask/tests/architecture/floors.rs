//! Data flows one way: no file imports from a floor above its own, and `bpf/` alone names aya.

use std::path::Path;

use crate::code::{Edges, imports, of_workspace, sources::Sources, tokens::named};

/// The rooms of the agent, by floor: a room imports from its own floor and from those below.
const AGENT: &[(u8, &[&str])] = &[
    (7, &["main", "lib"]),
    (6, &["cli"]),
    (5, &["commands"]),
    (4, &["serve"]),
    (3, &["collector"]),
    (2, &["sockets", "events"]),
    (1, &["bpf", "host", "options", "worker"]),
];

/// The rooms of the core.
const CORE: &[(u8, &[&str])] = &[
    (3, &["lib"]),
    (2, &["filter", "metrics", "render"]),
    (1, &["model"]),
];

type Floors = [(u8, &'static [&'static str])];

/// The room of a file: the first folder below `src`, or the file's own name.
fn room<'a>(source: &str, path: &'a Path) -> Option<&'a str> {
    let inside = path.strip_prefix(source).ok()?;
    Path::new(inside.iter().next()?).file_stem()?.to_str()
}

fn floor(floors: &Floors, room: &str) -> Option<u8> {
    let found = floors.iter().find(|(_, rooms)| rooms.contains(&room));
    found.map(|(floor, _)| *floor)
}

/// What breaks the order of the rooms below a folder.
fn violations(floors: &Floors, source: &str, sources: &Sources, edges: &Edges) -> Vec<String> {
    let mut found = Vec::new();
    for (path, _) in sources.below(source) {
        let room = room(source, path).unwrap();
        if floor(floors, room).is_none() {
            found.push(format!(
                "{}: give the room {room} a floor in {}",
                path.display(),
                file!()
            ));
        }
    }
    for room in floors.iter().flat_map(|(_, rooms)| *rooms) {
        let mut files = sources.below(source);
        if !files.any(|(path, _)| self::room(source, path) == Some(room)) {
            found.push(format!("{source}: no file of the room {room}"));
        }
    }
    for ((from, to), names) in edges {
        let level = |path| floor(floors, room(source, path)?);
        if let (Some(lower), Some(upper)) = (level(from), level(to))
            && lower < upper
        {
            let (from, to) = (from.display(), to.display());
            found.push(format!("{from} imports from {to}, above it: {names:?}"));
        }
    }
    found
}

#[test]
fn no_file_imports_from_a_floor_above_its_own() {
    let (sources, edges) = (Sources::of_workspace(), &of_workspace().edges);
    let mut found = violations(AGENT, "agent/src", sources, edges);
    found.extend(violations(CORE, "agent/core/src", sources, edges));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn imports_from_above_are_found() {
    const FLOORS: &Floors = &[(2, &["lib", "top"]), (1, &["low"])];
    let cases = [
        ("use crate::low::L;", "pub struct L;", 0),
        ("pub struct T;", "pub struct L(crate::top::inner::T);", 1),
        (
            "pub use crate::low::L;",
            "use crate::top::L as M; pub struct L;",
            0,
        ),
        ("", "fn f() { super::top::inner::g!(); }", 1),
    ];
    for (top, low, expected) in cases {
        let sources = Sources::of(&[
            ("a/src/lib.rs", "mod top; mod low;"),
            ("a/src/top/mod.rs", "pub mod inner; pub use inner::*;"),
            ("a/src/top/inner.rs", top),
            ("a/src/low.rs", low),
        ]);
        let edges = imports(&sources).edges;
        let found = violations(FLOORS, "a/src", &sources, &edges);
        assert_eq!(found.len(), expected, "{low}: {found:?}");
    }
    let sources = Sources::of(&[("a/src/lib.rs", "mod new;"), ("a/src/new.rs", "")]);
    let found = violations(FLOORS, "a/src", &sources, &Edges::new());
    assert_eq!(
        found.len(),
        3,
        "a room without floor, two without file: {found:?}"
    );
}

/// Files outside the room for BPF that name aya, tests included.
fn naming_aya(sources: &Sources) -> Vec<String> {
    const AYA: [&str; 3] = ["aya", "aya_log", "aya_obj"];
    let files = sources
        .below("agent/src")
        .chain(sources.below("agent/core/src"));
    let outside = files.filter(|(path, _)| !path.starts_with("agent/src/bpf"));
    outside
        .flat_map(|(path, text)| named(path, text, &AYA))
        .collect()
}

#[test]
fn nothing_outside_bpf_names_aya() {
    let sources = Sources::of_workspace();
    let outside = sources.below("agent/src").count() - sources.below("agent/src/bpf").count();
    assert!(outside >= 20, "{outside} files outside bpf");
    assert!(sources.below("agent/src/bpf").count() >= 5, "no room bpf");
    let found = naming_aya(sources);
    assert!(found.is_empty(), "ask bpf/ instead: {found:#?}");
}

#[test]
fn names_of_aya_are_found() {
    let cases = [
        ("agent/src/bpf/maps.rs", "use aya::Ebpf;", 0),
        ("agent/src/host/mod.rs", "use aya::Ebpf;", 1),
        (
            "agent/src/host/mod.rs",
            "fn f() { aya_log::init() } mod t { use aya_obj as o; }",
            2,
        ),
        (
            "agent/src/host/mod.rs",
            "//! As aya does.\n const A: &str = \"aya\"; // aya",
            0,
        ),
        ("agent/core/src/lib.rs", "extern crate aya;", 1),
    ];
    for (path, text, expected) in cases {
        let found = naming_aya(&Sources::of(&[(path, text)]));
        assert_eq!(found.len(), expected, "{text}: {found:?}");
    }
}
