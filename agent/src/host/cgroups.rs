//! Cgroups (v2): from their path to the id that a socket carries.
//! It must never take a cgroup of v1, which has no part in sockets' ids, for one of v2.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where cgroups v2 are mounted: alone, or beside v1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Why a cgroup's id is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that path.
    #[error(
        "the cgroup {0:?} of the filter is not there: there is no cgroup v2 of that path below /sys/fs/cgroup"
    )]
    NotThere(String),
    /// It cannot be looked at.
    #[error("cannot find out the id of the cgroup {path:?}: {source}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The id of a cgroup, given by its path there or by the whole path: the number of its inode, on
/// 64-bit machines (kernfs_node_id in include/linux/kernfs.h, Linux 5.5+).
///
/// # Errors
/// When there is none of that path.
pub fn id(path: &str) -> Result<u64, Error> {
    let below = path.trim_start_matches('/');
    let whole = Path::new(path);
    let candidates: Vec<PathBuf> = if whole.starts_with(MOUNTS[0]) {
        vec![whole.to_owned()]
    } else {
        MOUNTS.map(|mount| Path::new(mount).join(below)).to_vec()
    };
    // In v1 hierarchies there is no such file.
    let mut v2 = candidates
        .into_iter()
        .filter(|path| path.join("cgroup.controllers").exists());
    let found = v2.next().ok_or_else(|| Error::NotThere(path.to_owned()))?;
    match fs::metadata(&found) {
        Ok(metadata) => Ok(metadata.ino()),
        Err(source) => Err(Error::Unreadable {
            path: found,
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_is_not_there() {
        let error = id("/nowhere/at.all").unwrap_err().to_string();
        assert!(error.contains("/nowhere/at.all"), "{error}");
    }
}
