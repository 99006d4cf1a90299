//! The files of a web configuration, read with a limit, and known again when they change.
//! It must never keep what a file holds: a key would be in memory twice.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};

use super::error::Reason;

/// More than any certificate or configuration has, so that a wrong path eats no memory.
const LARGEST: u64 = 1024 * 1024;

/// A file, and what it held when it was read.
type Seen = (PathBuf, Vec<u8>);

/// Reads files, and remembers which.
pub struct Files<'a> {
    folder: &'a Path,
    seen: Vec<Seen>,
}

impl<'a> Files<'a> {
    /// Relative paths begin in `folder`.
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            seen: Vec::new(),
        }
    }

    /// Reads a file; `name` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be read whole.
    pub fn read(&mut self, path: &str, name: &str) -> Result<Vec<u8>, Reason> {
        let path = self.folder.join(path);
        let bytes = read(&path).map_err(|reason| Reason::Unreadable {
            file: name.to_owned(),
            reason,
        })?;
        self.seen.push((path, mark(&bytes)));
        Ok(bytes)
    }

    /// What has been read.
    pub fn into_state(self) -> State {
        State(self.seen)
    }
}

/// What files held at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Vec<Seen>);

impl State {
    /// What the same files hold now; `None` where one cannot be read.
    pub fn now(&self) -> Option<Self> {
        let look = |(path, _): &Seen| Some((path.clone(), mark(&read(path).ok()?)));
        self.0.iter().map(look).collect::<Option<_>>().map(Self)
    }
}

fn mark(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for, and a device has no end.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(bytes)
}
