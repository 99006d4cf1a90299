//! Which processes hold the sockets of a reading: the kernel goes over every descriptor of every
//! process and tells of those that are TCP sockets.
//!
//! # Invariants
//! "Nobody holds it" is said only where every process could be seen.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, ErrorKind, Read},
};

use halfopen_common::{ABSENT, Kernel, SocketHolder};
use halfopen_core::model::connection::{Connection, Holder, Known, State, Unknown};
use tracing::warn;
use zerocopy::FromBytes as _;

use crate::{
    bpf::loaded_object::Object,
    host::{namespaces, owners::Owners},
};

/// The iterator.
const TASK_FILE: &str = "task_file";
/// Twice what the kernel hands out at once (`bpf_seq_read`, kernel/bpf/bpf_iter.c).
const BUFFER: usize = 64 * 1024;
/// The kernel pauses after a million descriptors without a TCP socket among them: more pauses than
/// this are no progress.
const MOST_PAUSES: u32 = 10_000;

/// The iterator's program: loaded when it is first asked for, for few ask.
#[derive(Debug)]
pub struct Holders {
    /// Whether the kernel has every field that the program reads, and those of MPTCP.
    fields: bool,
    subflows: bool,
    loaded: Option<Result<(), Refused>>,
}

/// The kernel's reason was told when it refused.
#[derive(Debug, Clone, Copy)]
struct Refused;

impl Holders {
    /// Loads nothing yet.
    pub fn new(kernel: &Kernel) -> Self {
        let has = |offsets: &[u32]| !offsets.contains(&ABSENT);
        Self {
            fields: has(&[
                kernel.sock_type,
                kernel.socket_sk,
                kernel.task_leader,
                kernel.task_comm,
                kernel.task_pid,
                kernel.pid_level,
                kernel.pid_numbers,
                kernel.upid_size,
                kernel.upid_number,
            ]),
            subflows: has(&[
                kernel.mptcp_subflows,
                kernel.subflow_node,
                kernel.subflow_sock,
            ]),
            loaded: None,
        }
    }

    /// Names the processes that hold these sockets, which a walk has just met; or why they are not
    /// known.
    pub fn name(&mut self, object: &mut Object, connections: &mut [Connection], owners: &Owners) {
        let held = match self.open(object) {
            Ok(file) => match collect(file, connections, owners) {
                Ok(held) => held,
                Err(error) => {
                    warn!(%error, "processes are unknown: the kernel would not go on to tell of their descriptors");
                    return forget(connections, Unknown::Refused);
                }
            },
            Err(unknown) => return forget(connections, unknown),
        };
        let scope = Scope {
            every_process: namespaces::is_first_of_pids(),
            subflows: self.subflows,
        };
        for (connection, held) in connections.iter_mut().zip(held) {
            connection.processes = held.holders(connection, scope);
        }
    }

    /// The file that yields every descriptor as it is read.
    fn open(&mut self, object: &mut Object) -> Result<File, Unknown> {
        if !self.fields {
            return Err(Unknown::NotOnThisKernel);
        }
        let report = |reason: String| {
            warn!(%reason, "processes are unknown: the kernel refused the program that tells of their descriptors");
            Refused
        };
        self.loaded
            .get_or_insert_with(|| object.load_iterator(TASK_FILE).map_err(report))
            .and_then(|()| object.iterate(TASK_FILE).map_err(report))
            .map_err(|Refused| Unknown::Refused)
    }
}

/// Nothing can be said of any of them.
pub fn forget(connections: &mut [Connection], why: Unknown) {
    for connection in connections {
        connection.processes = Err(why);
    }
}

/// Whom the iterator saw.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// No process is outside its PID namespace.
    every_process: bool,
    /// It looks behind sockets of MPTCP.
    subflows: bool,
}

/// What the iterator told of one socket.
#[derive(Debug, Clone, Default)]
struct Found {
    holders: Vec<Holder>,
    /// Another socket stands at its address now.
    replaced: bool,
}

impl Found {
    fn add(&mut self, held: &SocketHolder, connection: &Connection, owners: &Owners) {
        let ports = (connection.local.port(), connection.remote.port());
        if ports != (held.local_port, held.remote_port) {
            self.replaced = true;
            return;
        }
        let end = held.name.iter().position(|byte| *byte == 0);
        self.holders.push(Holder {
            pid: held.pid,
            fd: held.fd,
            name: held.name[..end.unwrap_or(held.name.len())].to_vec(),
            owner: match held.cgroup {
                0 => Err(Unknown::NotOnThisKernel),
                cgroup => owners.of(Ok(cgroup)),
            },
        });
    }

    fn holders(self, connection: &Connection, scope: Scope) -> Known<Vec<Holder>> {
        let Self {
            mut holders,
            replaced,
        } = self;
        // Of several descriptors of one process the lowest.
        holders.sort();
        holders.dedup_by_key(|holder| holder.pid);
        let holdable = !connection.orphaned && connection.state != State::TimeWait;
        if !holders.is_empty() || !holdable {
            Ok(holders)
        } else if replaced {
            Err(Unknown::ClosedMeanwhile)
        } else if !scope.every_process {
            Err(Unknown::OutsidePidNamespace)
        } else if connection.mptcp && !scope.subflows {
            Err(Unknown::NotOnThisKernel)
        } else {
            Ok(holders)
        }
    }
}

/// What is told of each of these connections, in their order.
fn collect(from: impl Read, connections: &[Connection], owners: &Owners) -> io::Result<Vec<Found>> {
    let places: HashMap<u64, usize> = connections
        .iter()
        .enumerate()
        .map(|(place, connection)| (connection.sock, place))
        .collect();
    let mut found = vec![Found::default(); connections.len()];
    drain(from, |held| {
        if let Some(place) = places.get(&held.sock) {
            found[*place].add(held, &connections[*place], owners);
        }
    })?;
    Ok(found)
}

/// Reads to the end, whatever pieces it comes in.
fn drain(mut from: impl Read, mut each: impl FnMut(&SocketHolder)) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let (mut filled, mut pauses) = (0, 0);
    loop {
        match from.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(()),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && pauses < MOST_PAUSES => {
                pauses += 1;
            }
            Err(error) => return Err(error),
        }
        let whole = filled - filled % size_of::<SocketHolder>();
        buffer[..whole]
            .chunks_exact(size_of::<SocketHolder>())
            .filter_map(|bytes| SocketHolder::read_from_bytes(bytes).ok())
            .for_each(|held| each(&held));
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

#[cfg(test)]
mod tests;
