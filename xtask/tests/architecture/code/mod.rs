//! Reads Rust sources: files, tokens, trees of modules, and the imports between files.
//!
//! A file imports another when its code names something defined there: by `use`, by a path in the
//! code, or by a macro. A re-export counts for the file that defines the name, not for the one that
//! hands it on. `mod child;` is no import, and neither is a re-export that its file does not use.
//! What tests alone compile is left out.
//!
//! Not seen: methods called on a value, and names that a macro puts together from its arguments.

mod items;
mod module;
mod resolve;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod tokens;
mod tree;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::LazyLock,
};

pub use items::leaves;
pub use resolve::Edges;
use sources::Sources;
use tree::Tree;

/// What was found in some crates.
#[derive(Debug, Default)]
pub struct Imports {
    pub edges: Edges,
    /// Files of their modules, those that only tests compile included.
    pub read: BTreeSet<PathBuf>,
}

static WORKSPACE: LazyLock<Imports> = LazyLock::new(|| imports(Sources::of_workspace()));

/// The imports of the whole repository.
pub fn of_workspace() -> &'static Imports {
    &WORKSPACE
}

/// Imports of every crate of these sources.
pub fn imports(sources: &Sources) -> Imports {
    let mut found = Imports::default();
    for (root, _) in sources.files().filter(|(path, _)| is_root(path)) {
        let tree = Tree::of(sources, root);
        tree.edges(&mut found.edges);
        found
            .read
            .extend(tree.modules.into_iter().map(|module| module.file));
        let tests = sources.files().map(|(path, _)| path);
        let tests = tests.filter(|path| tree.tests.iter().any(|test| path.starts_with(test)));
        found.read.extend(tests.map(Path::to_owned));
    }
    found
}

/// `src/{lib,main}.rs`, `src/bin/*.rs`, `benches/*.rs`, `benches/*/main.rs`.
fn is_root(path: &Path) -> bool {
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    match names.as_slice() {
        [.., "src", "lib.rs" | "main.rs"]
        | [.., "src", "bin", _]
        | [.., "benches", _, "main.rs"] => true,
        [.., "benches", file] => file.ends_with(".rs"),
        _ => false,
    }
}
