//! A network namespace for the calling thread.

use std::{fs, io, os::unix::fs::MetadataExt as _, process::Command};

use nix::sched::{CloneFlags, unshare};

use crate::Error;

/// Moves the calling thread into a network namespace of its own, with loopback up; returns its inode number.
/// Threads and processes that it starts later are in it too.
///
/// # Errors
/// Without the privilege to make one, or when `ip` (of iproute2) fails.
pub fn enter_private() -> Result<u32, Error> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|source| Error::needs_root("make a network namespace", source))?;
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    let failed = |source| Error::socket("bring loopback up with `ip link set lo up`", source);
    let status = up.map_err(failed)?;
    if !status.success() {
        return Err(failed(io::Error::other(status.to_string())));
    }
    let own = fs::metadata("/proc/thread-self/ns/net").map_err(failed)?;
    // The kernel numbers namespaces with an unsigned int (include/linux/ns_common.h).
    u32::try_from(own.ino()).map_err(|error| failed(io::Error::other(error)))
}
