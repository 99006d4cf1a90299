//! A folder shows at most 15 files beside each other, and a Rust file has at most 400 lines.

use std::{collections::BTreeMap, path::Path};

use crate::code::sources::Sources;

const MOST_FILES: usize = 15;
const MOST_LINES: usize = 400;

fn too_large(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for (path, text) in sources.files() {
        *folders.entry(path.parent().unwrap()).or_default() += 1;
        let lines = text.lines().count();
        if lines > MOST_LINES {
            found.push(format!("{}: {lines} lines: split it", path.display()));
        }
    }
    for path in sources.others() {
        *folders.entry(path.parent().unwrap()).or_default() += 1;
    }
    for (folder, files) in folders {
        if files > MOST_FILES {
            found.push(format!("{}: {files} files: group them", folder.display()));
        }
    }
    found
}

#[test]
fn folders_and_files_are_small_enough_to_read() {
    let found = too_large(Sources::of_workspace());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_is_too_large_is_found() {
    let text = |lines: usize| "x\n".repeat(lines);
    let (fits, long) = (text(MOST_LINES), text(MOST_LINES + 1));
    assert_eq!(too_large(&Sources::of(&[("a/x.rs", &fits)])).len(), 0);
    assert_eq!(too_large(&Sources::of(&[("a/x.rs", &long)])).len(), 1);
    let paths = |files: usize| -> Vec<String> { (0..files).map(|n| format!("a/{n}.rs")).collect() };
    for (files, expected) in [(MOST_FILES, 0), (MOST_FILES + 1, 1)] {
        let paths = paths(files);
        let mut beside: Vec<_> = paths.iter().map(|path| (path.as_str(), "")).collect();
        beside.push(("a/b/below.rs", ""));
        assert_eq!(too_large(&Sources::of(&beside)).len(), expected, "{files}");
        beside.push(("a/one.json", ""));
        let is_full = usize::from(files == MOST_FILES);
        assert_eq!(
            too_large(&Sources::of(&beside)).len(),
            expected.max(is_full),
            "{files}"
        );
    }
}
