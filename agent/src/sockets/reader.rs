//! Reads all connections, by the walk where the kernel allows it, else by sock_diag.
//!
//! # Invariants
//! Each result names the one method by which it was read.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use halfopen_common::{ListenerKey, Listeners};
use halfopen_core::model::{
    assessed::{ConnectionList, ListOptions, NameProcesses, ReadMethod},
    census::Census,
    connection::{Connection, State, Unknown},
    liveness::{Liveness, Thresholds},
    owner::ROOT,
};
use tracing::warn;

use super::{
    holders,
    walk::{self, Converter, Request, Walker},
};
use crate::{
    bpf::{Error, btf::Layout},
    host::{
        namespaces::{self, Depth},
        owners::Owners,
    },
    options::Options,
    sockets::sock_diag,
};

/// A walk on which chains changed under the reader is done again, at most so often.
const TRIES: u32 = 3;

/// What one walk brought.
#[derive(Debug)]
pub struct WalkResult {
    /// The sums.
    pub census: Arc<Census>,
    /// The suspects among them.
    pub suspects: Vec<Connection>,
    /// The sockets that listen.
    pub listeners: BTreeMap<ListenerKey, Listeners>,
    /// To understand sockets that are looked at between walks; only the walk by BPF has one.
    pub converter: Option<Converter>,
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub duration: Duration,
    /// How sockets were read.
    pub source: ReadMethod,
    /// Chains whose rest was left out, and sockets that could not be read.
    pub incomplete: u64,
}

/// Reads connections.
pub enum Reader {
    /// By the walk.
    Walk {
        /// The programs.
        walker: Box<Walker>,
        /// The kernel's HZ, once it is known.
        hz: Option<u64>,
        /// Whose sockets are.
        owners: Owners,
    },
    /// By sock_diag.
    SockDiag {
        /// Whose sockets are.
        owners: Owners,
    },
}

impl Reader {
    /// The best there is: the walk, or sock_diag where the kernel refuses it.
    ///
    /// # Errors
    /// When a privilege is missing.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let owners = Owners::for_options(options);
        Self::choose(Walker::load(options), owners)
    }

    /// The same where the kernel's layout is known already.
    pub(crate) fn open_for(layout: &Layout, owners: Owners) -> Result<Self, Error> {
        Self::choose(Walker::load_for(layout), owners)
    }

    fn choose(walker: Result<Walker, Error>, owners: Owners) -> Result<Self, Error> {
        match walker {
            Ok(walker) => Ok(Self::Walk {
                walker: Box::new(walker),
                hz: None,
                owners,
            }),
            Err(
                error @ (Error::Privilege { .. }
                | Error::NoBtf { .. }
                | Error::BadBtf { .. }
                | Error::ForeignBtf { .. }),
            ) => Err(error),
            Err(error) => {
                warn!(%error, "sockets are read by sock_diag, which does not tell keepalive settings");
                Ok(Self::SockDiag { owners })
            }
        }
    }

    /// Jiffies of a second; `None` where it cannot be found out.
    pub(crate) fn hz(&mut self) -> Option<u64> {
        match self {
            Self::Walk { walker, hz, .. } => {
                let nets = walker.nets().ok()?;
                known_hz(hz, &nets).ok()
            }
            Self::SockDiag { .. } => None,
        }
    }

    /// Reads everything once and adds it up; `between` is called between short runs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn walk(
        &mut self,
        thresholds: &Thresholds,
        mut between: impl FnMut(),
    ) -> Result<WalkResult, Error> {
        let began = Instant::now();
        let mut result = match self {
            Self::Walk { walker, hz, owners } => {
                let mut tries = 0;
                loop {
                    let walked = walk_once(walker, hz, owners, thresholds, &mut between)?;
                    tries += 1;
                    if walked.incomplete == 0 || tries == TRIES {
                        break walked;
                    }
                }
            }
            Self::SockDiag { owners } => dump_once(owners, thresholds)?,
        };
        result.duration = began.elapsed();
        result.at = Instant::now();
        Ok(result)
    }

    /// Reads every connection that is `wanted`, at most `most`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(
        &mut self,
        netns: Option<u32>,
        most: usize,
        wanted: &dyn Fn(&Connection) -> bool,
    ) -> Result<ConnectionList, Error> {
        let mut list = List {
            connections: Vec::new(),
            total: 0,
            left_out: 0,
        };
        let mut take = |connection: Connection| {
            list.total += 1;
            if !wanted(&connection) {
                return;
            }
            if list.connections.len() < most {
                list.connections.push(connection);
            } else {
                list.left_out += 1;
            }
        };
        let (source, unseen_namespaces, incomplete) = match self {
            Self::Walk { walker, hz, owners } => {
                let nets = walker.nets()?;
                let hz = known_hz(hz, &nets)?;
                let mut converter = Converter::new(&nets, hz, owners.clone());
                let request = Request {
                    sums: false,
                    quiet_jiffies: 0,
                    netns,
                };
                let each = |socket: &_| {
                    if let Some(connection) = converter.connection(socket) {
                        take(connection);
                    }
                };
                let walked = walker.walk(&nets, &request, each, || {})?;
                (
                    ReadMethod::Tables,
                    0,
                    walked.changed_chains + walked.unreadable,
                )
            }
            Self::SockDiag { owners } => {
                let (connections, unseen) = dump(owners)?;
                let own =
                    |connection: &Connection| netns.is_none_or(|only| only == connection.netns);
                connections.into_iter().filter(own).for_each(&mut take);
                (ReadMethod::SockDiag, unseen, 0)
            }
        };
        Ok(ConnectionList {
            connections: list.connections,
            unseen_namespaces,
            total: list.total,
            incomplete,
            left_out: list.left_out,
            source,
        })
    }

    /// The same, with processes where they are asked for.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list_to(
        &mut self,
        extent: ListOptions,
        wanted: &dyn Fn(&Connection) -> bool,
    ) -> Result<ConnectionList, Error> {
        let mut reading = self.list(extent.netns, extent.most, wanted)?;
        let wanted = match extent.processes {
            NameProcesses::Never => false,
            NameProcesses::WithoutOwners => !reading.connections.iter().any(is_owned),
            NameProcesses::Always => true,
        };
        if wanted {
            self.name_processes(&mut reading.connections);
        }
        Ok(reading)
    }

    /// Names the processes that hold the sockets of a list just read. It goes over the descriptors of
    /// every process, so it is done for those who ask.
    fn name_processes(&mut self, connections: &mut [Connection]) {
        match self {
            Self::Walk { walker, owners, .. } => walker.name_processes(connections, owners),
            Self::SockDiag { .. } => holders::forget(connections, Unknown::NotInSockDiag),
        }
    }
}

/// Whether its cgroup tells whose it is.
fn is_owned(connection: &Connection) -> bool {
    connection.owner.as_deref().is_ok_and(|owner| owner != ROOT)
}

struct List {
    connections: Vec<Connection>,
    total: u64,
    left_out: u64,
}

fn known_hz(hz: &mut Option<u64>, nets: &[halfopen_common::Net]) -> Result<u64, Error> {
    if let Some(known) = *hz {
        return Ok(known);
    }
    // The ring begins with the calling thread's own.
    let found = nets.first().map_or_else(
        || {
            Err(Error::Walk {
                reason: "there is no network namespace".into(),
            })
        },
        walk::hz,
    )?;
    *hz = Some(found);
    Ok(found)
}

fn walk_once(
    walker: &mut Walker,
    hz: &mut Option<u64>,
    owners: &Owners,
    thresholds: &Thresholds,
    between: &mut impl FnMut(),
) -> Result<WalkResult, Error> {
    let nets = walker.nets()?;
    let mut converter = Converter::new(&nets, known_hz(hz, &nets)?, owners.clone());
    let request = Request {
        sums: true,
        quiet_jiffies: converter.jiffies(thresholds.idle),
        netns: None,
    };
    let mut census = Census::default();
    let mut suspects = Vec::new();
    let mut listeners = BTreeMap::new();
    let each = |socket: &_| {
        let Some(connection) = converter.connection(socket) else {
            return;
        };
        note_listener(&mut listeners, &connection);
        let memory = connection.memory.unwrap_or(0);
        let liveness = census.add(&connection, 1, memory, thresholds);
        if matches!(liveness, Liveness::Suspect(_)) {
            suspects.push(connection);
        }
    };
    let walked = walker.walk(&nets, &request, each, between)?;
    for (class, sum) in &walked.classes {
        let member = converter.member(class, thresholds.idle);
        census.add(&member, sum.sockets, sum.memory, thresholds);
    }
    walk::ports::add(&mut census, &walked, owners);
    Ok(WalkResult {
        census: Arc::new(census),
        suspects,
        listeners,
        converter: Some(converter),
        at: Instant::now(),
        duration: Duration::ZERO,
        source: ReadMethod::Tables,
        incomplete: walked.changed_chains + walked.unreadable,
    })
}

fn dump(owners: &Owners) -> Result<(Vec<Connection>, u64), Error> {
    let found = namespaces::find(Depth::Threads);
    let dumped = sock_diag::dump_everywhere(&found).map_err(|error| Error::Walk {
        reason: format!("sock_diag: {error}"),
    });
    let (mut connections, unseen) = dumped?;
    for connection in &mut connections {
        connection.owner = owners.of(connection.cgroup);
    }
    Ok((connections, unseen))
}

fn dump_once(owners: &Owners, thresholds: &Thresholds) -> Result<WalkResult, Error> {
    let (connections, _) = dump(owners)?;
    let mut census = Census::default();
    let mut suspects = Vec::new();
    let mut listeners = BTreeMap::new();
    for connection in connections {
        note_listener(&mut listeners, &connection);
        let memory = connection.memory.unwrap_or(0);
        if let Liveness::Suspect(_) = census.add(&connection, 1, memory, thresholds) {
            suspects.push(connection);
        }
    }
    Ok(WalkResult {
        census: Arc::new(census),
        suspects,
        listeners,
        converter: None,
        at: Instant::now(),
        duration: Duration::ZERO,
        source: ReadMethod::SockDiag,
        incomplete: 0,
    })
}

/// Adds the socket, if it listens, as the hooks note it.
fn note_listener(listeners: &mut BTreeMap<ListenerKey, Listeners>, connection: &Connection) {
    let (State::Listen, Ok(cgroup)) = (connection.state, &connection.cgroup) else {
        return;
    };
    let address = match connection.local.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let key = ListenerKey {
        local: address.octets(),
        inum: connection.netns,
        port: connection.local.port(),
        padding: 0,
    };
    let known = listeners.entry(key).or_default();
    known.cgroup = *cgroup;
    known.sockets += 1;
}
