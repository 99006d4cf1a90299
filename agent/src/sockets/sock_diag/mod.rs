//! Every TCP socket as sock_diag (netlink) tells it: the source of connections on kernels where BPF
//! cannot read the tables of sockets.
//!
//! What it cannot tell at all: SO_KEEPALIVE and its settings, TCP_USER_TIMEOUT, the size of the
//! kernel's object. What it tells less well than the walk: whether a keepalive probe was answered by
//! data, and who opened a connection whose listener is gone (it passes for outbound).
//!
//! # Invariants
//! What sock_diag leaves out is `Err(Unknown::NotInSockDiag)`.

mod convert;
mod exchange;
#[cfg(test)]
mod fixture;
mod message;
mod policy;
mod settle;

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use convert::Namespace;
use exchange::Family;

use crate::host::namespaces::{self, Found};
use halfopen_core::model::connection::{Connection, Unknown};

/// The calling thread's network namespace; its inode number is that of the namespace.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";
/// Settings of the calling thread's network namespace: /proc/sys/net shows each thread its own
/// (net_ctl_root_lookup() in net/sysctl_net.c).
const OWN_SETTINGS: &str = "/proc/sys/net/ipv4";

/// Reads every TCP socket of the calling thread's network namespace, listeners, TIME_WAIT and
/// requests included. It costs two walks over the whole hash table, whatever is in it. The kernel
/// gives each socket a cookie when asked, which it then keeps.
///
/// # Errors
/// When the kernel has no TCP socket diagnosis, its answer cannot be understood, or its tables
/// changed under several readings in a row.
pub fn dump() -> io::Result<Vec<Connection>> {
    let netns = fs::metadata(OWN_NAMESPACE)?.ino();
    let netns = u32::try_from(netns).map_err(io::Error::other)?;
    let policy = policy::read(Path::new(OWN_SETTINGS));
    let policy = policy.map(Arc::new).map_err(|_| Unknown::NamespaceUnread);
    let namespace = Namespace {
        inode: netns,
        policy,
    };
    let mut connections = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        connections.extend(exchange::dump(family, |answer| {
            namespace.connection(answer)
        })?);
    }
    settle::settle(&mut connections);
    Ok(connections)
}

/// Reads every TCP socket of these network namespaces, and tells in how many of them it could not.
///
/// # Errors
/// When not one namespace could be read: what kept the first one from it.
pub fn dump_everywhere(found: &Found) -> io::Result<(Vec<Connection>, u64)> {
    let mut connections = Vec::new();
    let (mut seen, mut unseen) = (0_u64, 0_u64);
    let mut first = None;
    for (_, dumped) in namespaces::visit(found, dump)? {
        match dumped {
            Ok(dumped) => {
                connections.extend(dumped);
                seen += 1;
            }
            Err(error) => {
                first.get_or_insert(error);
                unseen += 1;
            }
        }
    }
    match first {
        Some(error) if seen == 0 => Err(error),
        _ => Ok((connections, unseen)),
    }
}

#[cfg(test)]
mod tests;
