//! The host's network namespaces: found through processes, threads and mounts, and entered one after
//! another on a thread of its own.
//!
//! # Invariants
//! No namespace is kept alive: nothing of it stays open between rounds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::fd::AsFd,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::mounts;

/// Where `ip netns` and container engines keep namespaces by name.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Where one namespace can be opened, by its inode number.
pub type Found = BTreeMap<u32, PathBuf>;

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Processes and mounts.
    Processes,
    /// Threads too: a thread can be in a namespace its process is not in.
    Threads,
}

/// Whether this process is in the first PID namespace, where every process has a number; `false`
/// where /proc does not tell.
#[must_use]
pub fn is_first_of_pids() -> bool {
    // PROC_PID_INIT_INO (include/linux/proc_ns.h), the same since Linux 3.8.
    const FIRST: u64 = 0xEFFF_FFFC;
    fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == FIRST)
}

/// Finds every network namespace. What cannot be looked at (a process that ends, one of another user
/// without CAP_SYS_PTRACE) is passed over.
#[must_use]
pub fn find(depth: Depth) -> Found {
    let mut found = Found::new();
    // First, so that a namespace found by several ways is entered by its most lasting one.
    add(&mut found, "/proc/self/ns/net".into());
    for directory in NAMED {
        for path in children(Path::new(directory)) {
            add(&mut found, path);
        }
    }
    for path in mounted() {
        add(&mut found, path);
    }
    for process in children(Path::new("/proc")) {
        if !is_number(&process) {
            continue;
        }
        add(&mut found, process.join("ns/net"));
        if depth == Depth::Threads {
            for thread in children(&process.join("task")) {
                add(&mut found, thread.join("ns/net"));
            }
        }
    }
    found
}

fn add(found: &mut Found, path: PathBuf) {
    if let Some(number) = fs::metadata(&path)
        .ok()
        .and_then(|data| u32::try_from(data.ino()).ok())
    {
        found.entry(number).or_insert(path);
    }
}

fn children(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn is_number(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Namespaces mounted elsewhere: mounts of nsfs whose root is `net:[…]`.
fn mounted() -> Vec<PathBuf> {
    named(&fs::read(mounts::MOUNTINFO).unwrap_or_default())
}

fn named(mountinfo: &[u8]) -> Vec<PathBuf> {
    mounts::all(mountinfo)
        .filter(|mount| {
            mount
                .root
                .as_os_str()
                .as_encoded_bytes()
                .starts_with(b"net:[")
        })
        .map(|mount| mount.point)
        .collect()
}

/// What came of one namespace: what the read returned there, or why it could not be entered.
pub type Visited<T> = Vec<(u32, io::Result<T>)>;

/// Enters each namespace in turn on a new thread, which ends with the round.
///
/// # Errors
/// When the thread cannot be started, or ended by a panic.
pub fn visit<T: Send>(
    found: &Found,
    read: impl Fn() -> io::Result<T> + Sync,
) -> io::Result<Visited<T>> {
    let enter = |path: &PathBuf| {
        let file = File::open(path)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        read()
    };
    thread::scope(|scope| {
        let round = thread::Builder::new()
            .name("namespaces".into())
            .spawn_scoped(scope, || {
                let own = fs::metadata("/proc/self/ns/net")
                    .ok()
                    .and_then(|data| u32::try_from(data.ino()).ok());
                let mut visited = Visited::new();
                // Its own first, where no privilege is needed.
                let (here, elsewhere): (Vec<_>, Vec<_>) =
                    found.iter().partition(|(number, _)| Some(**number) == own);
                visited.extend(here.into_iter().map(|(number, _)| (*number, read())));
                visited.extend(
                    elsewhere
                        .into_iter()
                        .map(|(number, path)| (*number, enter(path))),
                );
                visited
            })?;
        round
            .join()
            .map_err(|_| io::Error::other("the thread that reads network namespaces panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mounts_of_network_namespaces() {
        let check = |line: &str, expected: Option<&str>| {
            let expected: Vec<_> = expected.map(PathBuf::from).into_iter().collect();
            assert_eq!(named(line.as_bytes()), expected, "{line}");
        };
        check(
            "66 22 0:4 net:[4026532299] /run/netns/a\\040b rw shared:9 - nsfs nsfs rw",
            Some("/run/netns/a b"),
        );
        check("66 22 0:4 mnt:[4026532299] /run/x rw - nsfs nsfs rw", None);
        check("22 1 254:0 / / rw,relatime - ext4 /dev/vda rw", None);
        check("", None);
    }

    #[test]
    fn visits_its_own_namespace_without_privilege() {
        let mut own = Found::new();
        add(&mut own, "/proc/self/ns/net".into());
        let visited = visit(&own, || fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
        assert_eq!(visited.len(), 1);
        assert!(visited[0].1.as_ref().unwrap().contains("Tcp:"));
    }
}
