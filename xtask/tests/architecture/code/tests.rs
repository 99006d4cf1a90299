//! What the reader must find in small crates, and that it reads all of the repository.

use std::path::Path;

use super::{Imports, imports, of_workspace, sources::Sources};

#[test]
fn every_file_of_every_crate_is_read() {
    let (sources, imports) = (Sources::of_workspace(), of_workspace());
    let missed: Vec<_> = sources
        .files()
        .map(|(path, _)| path)
        .filter(|path| !path.iter().any(|name| name == "tests") && !path.ends_with("build.rs"))
        .filter(|path| !imports.read.contains(*path))
        .collect();
    assert!(missed.is_empty(), "no module of any crate: {missed:?}");
    let count = imports.edges.len();
    assert!(count > 300, "only {count} imports found");
}

type Files = [(&'static str, &'static str)];

/// Files of a crate `a`, and the imports that they must show, as `from to name`.
const CASES: &[(&str, &Files, &[&str])] = &[
    (
        "use of a path",
        &[
            ("lib.rs", "mod x; mod y;"),
            ("x.rs", "use crate::y::{self, Y as Z, f};"),
            ("y.rs", "pub struct Y; pub fn f() { super::x::g() }"),
        ],
        &["x.rs y.rs Y", "x.rs y.rs f", "y.rs x.rs g"],
    ),
    (
        "a re-export counts for the file that defines",
        &[
            ("lib.rs", "mod k; mod user;"),
            (
                "k/mod.rs",
                "mod error; pub use error::Error; pub struct Own;",
            ),
            ("k/error.rs", "pub enum Error { A }"),
            (
                "user.rs",
                "use crate::k::{Error, Own}; fn f() { k::Error::A; }",
            ),
        ],
        &["user.rs k/error.rs Error", "user.rs k/mod.rs Own"],
    ),
    (
        "a re-export is an import where its own file uses it",
        &[
            ("lib.rs", "mod l; mod x;"),
            ("l.rs", "pub use crate::x::X; pub struct L(X);"),
            ("x.rs", "pub struct X;"),
        ],
        &["l.rs x.rs X"],
    ),
    (
        "parent and child",
        &[
            ("lib.rs", "mod p;"),
            ("p.rs", "mod child; use child::C; pub struct P;"),
            ("p/child.rs", "use super::P; pub struct C;"),
        ],
        &["p/child.rs p.rs P"],
    ),
    (
        "a module and a function of one name",
        &[
            ("lib.rs", "mod sum; use sum::sum; mod user;"),
            ("sum.rs", "pub fn sum() {}"),
            ("user.rs", "fn f() { super::sum() }"),
        ],
        &["user.rs sum.rs sum"],
    ),
    (
        "inside macros and attributes",
        &[
            ("lib.rs", "mod x; mod y;"),
            ("x.rs", "fn f() { println!(\"{}\", crate::y::N); }"),
            (
                "y.rs",
                "pub const N: u8 = 1; #[arg(value_parser = super::x::g)] struct Y;",
            ),
        ],
        &["x.rs y.rs N", "y.rs x.rs g"],
    ),
    (
        "macros by path, and by the order of the text",
        &[
            (
                "lib.rs",
                "macro_rules! m { () => {} } mod x; #[macro_use] mod y;",
            ),
            ("x.rs", "m! {} fn f() { crate::y::n!(); o!() }"),
            (
                "y.rs",
                "macro_rules! n { () => {} } pub(crate) use n; macro_rules! o { () => {} }",
            ),
        ],
        &["x.rs lib.rs m", "x.rs y.rs n", "x.rs y.rs o"],
    ),
    (
        "globs lead to the names that are used",
        &[
            ("lib.rs", "mod x; mod y; mod z;"),
            ("x.rs", "use crate::y::*; fn f(_: Z) {}"),
            ("y.rs", "pub use crate::z::*; pub struct Y;"),
            ("z.rs", "pub struct Z;"),
        ],
        &["x.rs z.rs Z"],
    ),
    (
        "no imports",
        &[
            ("lib.rs", "mod x; pub mod y; pub use x::X;"),
            (
                "x.rs",
                "pub struct X; use std::y; #[cfg(test)] mod tests { use super::super::y::Y; }",
            ),
            (
                "y.rs",
                "pub struct Y; fn f(x: u8) { x.X; y::z() } impl Y { #[cfg(test)] fn t() { super::x::X; } }",
            ),
        ],
        &[],
    ),
    (
        "files named by an attribute",
        &[
            (
                "lib.rs",
                "#[path = \"../common/x.rs\"] mod x; use x::X; pub struct L;",
            ),
            ("../common/x.rs", "pub struct X(crate::L);"),
        ],
        &["../common/x.rs lib.rs L", "lib.rs ../common/x.rs X"],
    ),
];

#[test]
fn imports_are_found() {
    for (case, files, expected) in CASES {
        let placed: Vec<_> = files
            .iter()
            .map(|(path, text)| (format!("a/src/{path}").replace("src/../", ""), *text))
            .collect();
        let placed: Vec<_> = placed
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect();
        let Imports { edges, read } = imports(&Sources::of(&placed));
        let short = |path: &Path| {
            let path = path.strip_prefix("a").unwrap();
            path.strip_prefix("src").map_or_else(
                |_| format!("../{}", path.display()),
                |path| path.display().to_string(),
            )
        };
        let mut found = Vec::new();
        for ((from, to), names) in &edges {
            found.extend(
                names
                    .iter()
                    .map(|name| format!("{} {} {name}", short(from), short(to))),
            );
        }
        found.sort();
        assert_eq!(found, *expected, "{case}");
        assert_eq!(read.len(), files.len(), "{case}");
    }
}
