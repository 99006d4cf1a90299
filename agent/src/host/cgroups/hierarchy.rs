//! Where cgroups v2 are mounted.

use std::{
    cmp::Reverse,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    super::mounts::{self, Mount},
    Error,
};

/// One mount of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The number of the mount.
    pub mount: u64,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The part of it that is mounted, from `/`: `/` itself unless only a part was bound here.
    pub part: PathBuf,
    /// Whether all cgroups are below it. Those of a cgroup namespace of its own (a container's) are
    /// not.
    pub whole: bool,
}

impl Hierarchy {
    /// The mount that shows most.
    ///
    /// # Errors
    /// When none is mounted.
    pub fn find() -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable {
            path: mounts::MOUNTINFO.into(),
            source,
        };
        let mountinfo = fs::read(mounts::MOUNTINFO).map_err(unreadable)?;
        let mut ranked = ranked(&mountinfo);
        // What is hidden by another mount over it is not there to be looked at.
        ranked.retain(|mount| mount.point.join("cgroup.controllers").exists());
        let mount = ranked.into_iter().next().ok_or(Error::NoHierarchy)?;
        let part = part(&mount.root);
        // Of all cgroups the root alone has no such file (Documentation/admin-guide/cgroup-v2.rst).
        let whole = part == Path::new("/") && !mount.point.join("cgroup.events").exists();
        Ok(Self {
            mount: mount.id,
            point: mount.point,
            part,
            whole,
        })
    }

    /// The directory of a cgroup, by its path from `/`; `None` if that is not below this mount.
    pub fn directory_of(&self, path: &Path) -> Option<PathBuf> {
        Some(self.point.join(path.strip_prefix(&self.part).ok()?))
    }

    /// The cgroup's path from `/`, by that of its directory; `None` if that is not below this mount,
    /// or is the root of a part whose own name is not shown.
    pub fn path_of(&self, directory: &Path) -> Option<PathBuf> {
        let below = directory.strip_prefix(&self.point).ok()?;
        let path = if below == Path::new("") {
            self.part.clone()
        } else {
            self.part.join(below)
        };
        (self.whole || path != Path::new("/")).then_some(path)
    }
}

/// Mounts of cgroups v2, those first that show most: of roots, those highest up; then the largest
/// parts.
fn ranked(mountinfo: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = mounts::all(mountinfo)
        .filter(|mount| mount.kind == "cgroup2")
        .collect();
    mounts.sort_by_key(|mount| {
        let up = mount
            .root
            .components()
            .filter(|it| *it == Component::ParentDir);
        (part(&mount.root).components().count(), Reverse(up.count()))
    });
    mounts
}

/// The root of a mount without what leads up to it: `/../..` is a root above the process's own.
fn part(root: &Path) -> PathBuf {
    root.components()
        .filter(|it| *it != Component::ParentDir)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "\
23 29 0:22 / /proc rw,nosuid - proc proc rw
35 26 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
";
    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
33 31 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory
";
    /// A container with a cgroup namespace of its own, to which the host's was given too.
    const INSIDE: &str = "\
700 650 0:30 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate
701 650 0:30 /../../.. /host/sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate
702 650 0:30 /.. /pod ro,nosuid - cgroup2 cgroup2 rw,nsdelegate
";
    /// Without one, with its own cgroup bound to the usual place.
    const BOUND: &str = "\
700 650 0:30 /docker/abc/x /deep ro - cgroup2 cgroup rw
701 650 0:30 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw
";
    const ODD: &str = "\
700 650 0:30 /a /mnt/a rw - cgroup2 none rw
701 650 0:30 / /mnt/my\\040groups\\134 rw - cgroup2 none rw
702 650 0:30 / /elsewhere rw - cgroup2 none rw
703 650 0:30 /../sibling /mnt/s rw - cgroup2 none rw
";

    #[test]
    fn the_mount_that_shows_most_comes_first() {
        let check = |mountinfo: &str, expected: Option<(&str, &str)>| {
            let first = ranked(mountinfo.as_bytes()).into_iter().next();
            let told = first.map(|mount| (mount.point, part(&mount.root)));
            let expected = expected.map(|(point, part)| (point.into(), part.into()));
            assert_eq!(told, expected, "{mountinfo}");
        };
        check(V2, Some(("/sys/fs/cgroup", "/")));
        check(HYBRID, Some(("/sys/fs/cgroup/unified", "/")));
        check(V1, None);
        check("", None);
        check(INSIDE, Some(("/host/sys/fs/cgroup", "/")));
        check(BOUND, Some(("/sys/fs/cgroup", "/docker/abc")));
        check(ODD, Some(("/mnt/my groups\\", "/")));
    }

    #[test]
    fn paths_are_told_from_the_root() {
        let check = |part: &str, whole: bool, directory: &str, expected: Option<&str>| {
            let hierarchy = Hierarchy {
                mount: 1,
                point: "/c".into(),
                part: part.into(),
                whole,
            };
            let told = hierarchy.path_of(Path::new(directory));
            assert_eq!(told, expected.map(PathBuf::from), "{part} {directory}");
        };
        check("/", true, "/c", Some("/"));
        check("/", true, "/c/a/b", Some("/a/b"));
        check("/", false, "/c/a/b", Some("/a/b"));
        // The top of a namespace has a name that is not shown.
        check("/", false, "/c", None);
        check("/docker/abc", false, "/c", Some("/docker/abc"));
        check("/docker/abc", false, "/c/x", Some("/docker/abc/x"));
        // What is not below the mount, which the kernel shows as `/`.
        check("/", true, "/", None);
        check("/", true, "/cc", None);
    }
}
