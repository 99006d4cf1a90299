//! Reads the files of a web configuration, and detects changes by digest.
//!
//! # Invariants
//! Only digests are kept, so that no key stays in memory twice.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};

use super::error::Reason;

/// More than any certificate or configuration has; limits what a wrong path can read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file, and the digest of its content.
type FileDigest = (PathBuf, Vec<u8>);

/// Reads files, and keeps their digests.
pub struct ConfigFiles<'a> {
    folder: &'a Path,
    read: Vec<FileDigest>,
}

impl<'a> ConfigFiles<'a> {
    /// Relative paths start in `folder`.
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            read: Vec::new(),
        }
    }

    /// Reads a file; errors call it `name`.
    ///
    /// # Errors
    /// When it cannot be read completely.
    pub fn read(&mut self, path: &str, name: &str) -> Result<Vec<u8>, Reason> {
        let path = self.folder.join(path);
        let bytes = read(&path).map_err(|reason| Reason::Unreadable {
            file: name.to_owned(),
            reason,
        })?;
        self.read.push((path, digest_of(&bytes)));
        Ok(bytes)
    }

    /// The digests of the files that were read.
    pub fn into_digests(self) -> FileDigests {
        FileDigests(self.read)
    }
}

/// The files of a configuration, with their digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigests(Vec<FileDigest>);

impl FileDigests {
    /// The same files with their current digests; `None` if one cannot be read.
    pub fn read_again(&self) -> Option<Self> {
        let current = |(path, _): &FileDigest| Some((path.clone(), digest_of(&read(path).ok()?)));
        self.0.iter().map(current).collect::<Option<_>>().map(Self)
    }
}

fn digest_of(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would block, and a device has no end.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(bytes)
}
