//! Cgroups (v2): from their path to the id that a socket carries, and from that id to the path.
//!
//! # Invariants
//! Cgroups v1 are left out: sockets do not carry them.

mod handle;
mod hierarchy;
mod lookup;
mod tree;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hierarchy::Hierarchy;
pub use lookup::{Cgroup, Cgroups, Followed, LEAST_CAPACITY, Unknown};

/// Why cgroups, or one of them, cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No hierarchy of v2 is mounted: the host has v1 alone, whose cgroups sockets do not carry, or
    /// this process is not shown any.
    #[error(
        "no cgroup v2 hierarchy is mounted here (the host has cgroup v1 only, or a container was not given /sys/fs/cgroup)"
    )]
    NoHierarchy,
    /// There is none of that path.
    #[error("the cgroup {path:?} is not there: there is no cgroup v2 of that path below {point:?}")]
    NotThere {
        /// As it was asked for.
        path: String,
        /// Where cgroups v2 are mounted.
        point: PathBuf,
    },
    /// It cannot be looked at.
    #[error("cannot look at the cgroup {path:?}: {source}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The id of a cgroup, given by its path from the root of cgroups, or by the whole path of its
/// directory: the number of its inode, on 64-bit machines (kernfs_ino() in include/linux/kernfs.h,
/// Linux 5.5+).
///
/// # Errors
/// When there is none of that path.
pub fn id(path: &str) -> Result<u64, Error> {
    id_below(&Hierarchy::find()?, path)
}

fn id_below(hierarchy: &Hierarchy, path: &str) -> Result<u64, Error> {
    let below = Path::new(path.trim_start_matches('/'));
    // Where only a part is mounted, a path can be told from the root of that part or of the whole.
    let part = hierarchy.part.strip_prefix("/").unwrap_or(Path::new(""));
    let candidates = [
        Some(Path::new(path)).filter(|whole| whole.starts_with(&hierarchy.point)),
        Some(below),
        below.strip_prefix(part).ok(),
    ];
    // In v1 hierarchies, and elsewhere, there is no such file.
    let found = candidates
        .into_iter()
        .flatten()
        .map(|path| hierarchy.point.join(path))
        .find(|path| path.join("cgroup.controllers").exists())
        .ok_or_else(|| Error::NotThere {
            path: path.to_owned(),
            point: hierarchy.point.clone(),
        })?;
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

    /// A tree that looks like cgroups.
    fn tree(cgroups: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in cgroups {
            let directory = root.path().join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.controllers"), "").unwrap();
        }
        root
    }

    #[test]
    fn a_cgroup_is_found_by_its_path_and_by_that_of_its_directory() {
        let root = tree(&["", "system.slice", "system.slice/a.service", "docker"]);
        let hierarchy = Hierarchy {
            mount: 1,
            point: root.path().to_owned(),
            part: "/".into(),
            whole: true,
        };
        fs::create_dir(root.path().join("no-cgroup")).unwrap();
        let expected = fs::metadata(root.path().join("system.slice/a.service"));
        let expected = expected.unwrap().ino();
        let whole = root.path().join("system.slice/a.service");
        for path in [
            "/system.slice/a.service",
            "system.slice/a.service",
            "system.slice/a.service/",
            whole.to_str().unwrap(),
        ] {
            assert_eq!(id_below(&hierarchy, path).unwrap(), expected, "{path}");
        }
        let of_root = fs::metadata(root.path()).unwrap().ino();
        assert_eq!(id_below(&hierarchy, "/").unwrap(), of_root);
        for path in ["/nowhere/at.all", "/no-cgroup", "/system.slice/a.service/x"] {
            let error = id_below(&hierarchy, path).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
        let part = Hierarchy {
            mount: 1,
            part: "/system.slice".into(),
            point: root.path().join("system.slice"),
            whole: false,
        };
        for path in ["/system.slice/a.service", "/a.service"] {
            assert_eq!(id_below(&part, path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn a_cgroup_that_is_not_there() {
        let error = id("/nowhere/at.all").unwrap_err();
        if let Error::NotThere { .. } = error {
            assert!(error.to_string().contains("/nowhere/at.all"), "{error}");
        } else {
            assert!(matches!(error, Error::NoHierarchy), "{error}");
        }
    }
}
