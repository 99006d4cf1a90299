//! The text of the project's Rust files, by their path below the repository.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Sources by path: the repository's, or a test's snippets.
#[derive(Debug, Default)]
pub struct Sources {
    rust: BTreeMap<PathBuf, String>,
    /// Paths of all other files.
    others: Vec<PathBuf>,
}

static WORKSPACE: LazyLock<Sources> = LazyLock::new(|| {
    let mut sources = Sources::default();
    read(&root(), &root(), &mut sources);
    assert!(
        sources.rust.len() > 200,
        "only {} Rust files below {}",
        sources.rust.len(),
        root().display()
    );
    sources
});

/// The repository in which cargo runs the tests.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).join("..")
}

/// A text file of the repository.
pub fn text(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Sources {
    /// Every Rust file of the repository.
    pub fn of_workspace() -> &'static Self {
        &WORKSPACE
    }

    /// Snippets, as path and text.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| (PathBuf::from(path), (*text).to_owned());
        let (rust, others) = files
            .iter()
            .map(owned)
            .partition(|(path, _): &(PathBuf, String)| path.extension() == Some("rs".as_ref()));
        let others: BTreeMap<PathBuf, String> = others;
        Self {
            rust,
            others: others.into_keys().collect(),
        }
    }

    /// The text of one file.
    pub fn get(&self, path: &Path) -> Option<&str> {
        self.rust.get(path).map(String::as_str)
    }

    /// Paths of the files that are not Rust.
    pub fn others(&self) -> impl Iterator<Item = &Path> {
        self.others.iter().map(PathBuf::as_path)
    }

    /// Every Rust file, in the order of paths.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.rust
            .iter()
            .map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// The Rust files below a folder.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.files()
            .filter(move |(path, _)| path.starts_with(folder))
    }
}

fn read(root: &Path, folder: &Path, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                read(root, &path, sources);
            }
            continue;
        }
        let place = path.strip_prefix(root).unwrap().to_owned();
        if name.ends_with(".rs") {
            sources
                .rust
                .insert(place, fs::read_to_string(&path).unwrap());
        } else {
            sources.others.push(place);
        }
    }
}
