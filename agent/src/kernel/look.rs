//! Looks at the sockets to which something happened: whether an answer came, and which are suspects
//! now. No hook sees an answer come.
//! It must never count an answer: it marks the record, and the next hook counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use halfopen_common::{Outstanding, Record, Socket};
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;
use zerocopy::FromBytes as _;

use super::{
    Error,
    maps::{self, Maps},
    paced::Paced,
    programs,
    walk::{self, Converter, NETS},
};
use crate::model::{
    census,
    connection::Connection,
    groups::{self, Pending},
    liveness::{Liveness, Thresholds, judge},
    snapshot::Suspects,
};

/// The program that is run by hand, never attached.
const LOOK: &str = "look";
/// Suspects are never shown older than this, whatever a look costs: with tens of thousands of sockets
/// in trouble it takes a tenth of a second or two.
const OLDEST: Duration = Duration::from_secs(1);
/// An event this much older than the look before was seen by it.
const SLACK_NS: u64 = 1_000_000;

/// What a look brought.
#[derive(Debug, Default)]
pub struct Looked {
    /// Answers the hooks have not counted yet.
    pub pending: Pending,
    /// Which connections are suspects now.
    pub suspects: Suspects,
}

/// The running look-out.
pub struct Look {
    pace: Paced,
    seen: RingBuf<MapData>,
    works: bool,
    /// The kernel's clock at the look before.
    before_ns: u64,
    /// Suspects of the look before.
    suspicious: BTreeSet<u64>,
    /// Suspects that a walk met and no hook has seen yet, by the address of their socket.
    adopted: BTreeMap<u64, Connection>,
    suspects: Suspects,
    /// Records when they were last looked through.
    pub records: u64,
}

impl Look {
    /// Loads the program.
    ///
    /// # Errors
    /// When the object has no such map.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let mut load = |name| {
            let told = |error: &_| warn!(%error, program = name, "answers show late and suspects are unknown: the kernel refused a program that looks at sockets");
            programs::load_to_run(ebpf, name).inspect_err(told)
        };
        let works = load(LOOK).and_then(|()| load(NETS)).is_ok();
        Ok(Self {
            pace: Paced::default(),
            seen: maps::take(ebpf, "WALKED")?,
            works,
            before_ns: 0,
            suspicious: BTreeSet::new(),
            adopted: BTreeMap::new(),
            suspects: Suspects::new(),
            records: 0,
        })
    }

    /// Whether suspects can be known.
    pub const fn works(&self) -> bool {
        self.works
    }

    /// Watches these suspects too, which a walk met; those that a hook has seen are left to it.
    pub fn adopt(&mut self, suspects: Vec<Connection>) {
        self.adopted = suspects
            .into_iter()
            .map(|connection| (connection.sock, connection))
            .collect();
        // At once: what the walk found must not wait for the pace.
        self.pace = Paced::default();
    }

    /// Looks again if it is time; else the suspects are those of the look before, and no answer is
    /// pending. Without a converter no suspect can be told, but answers are.
    pub fn look(
        &mut self,
        ebpf: &Ebpf,
        maps: &Maps,
        converter: Option<&mut Converter>,
        thresholds: &Thresholds,
    ) -> Looked {
        let mut pending = Pending::new();
        if self.pace.is_due() {
            let began = Instant::now();
            pending = self.look_now(ebpf, maps, converter, thresholds);
            self.pace.done(began, OLDEST);
        }
        Looked {
            pending,
            suspects: self.suspects.clone(),
        }
    }

    fn look_now(
        &mut self,
        ebpf: &Ebpf,
        maps: &Maps,
        mut converter: Option<&mut Converter>,
        thresholds: &Thresholds,
    ) -> Pending {
        let mut pending = Pending::new();
        let before_ns = std::mem::replace(&mut self.before_ns, now_ns().saturating_sub(SLACK_NS));
        let suspicious = std::mem::take(&mut self.suspicious);
        self.suspects.clear();
        let records = maps.records();
        self.records = records.len() as u64;
        for (sock, record) in &records {
            let news = record.outstanding != Outstanding::NONE
                || record.last_ns >= before_ns
                || suspicious.contains(sock);
            if !news {
                continue;
            }
            let seen = self.see(ebpf, *sock);
            if let Some(record) = maps.record(*sock) {
                groups::add_pending(&mut pending, &record);
            }
            let same = seen.filter(|socket| is_of(socket, record));
            let (Some(socket), Some(converter)) = (same, converter.as_deref_mut()) else {
                continue;
            };
            self.meet(ebpf, converter, socket.net.inum);
            if let Some(connection) = converter.connection(&socket) {
                self.note(&connection, thresholds);
            }
        }
        let Some(converter) = converter else {
            // sock_diag does not tell where a socket is: there is nothing to look at.
            self.adopted.clear();
            return pending;
        };
        let mut adopted = std::mem::take(&mut self.adopted);
        adopted.retain(|sock, known| {
            if records.contains_key(sock) {
                return false;
            }
            let now = self
                .see(ebpf, *sock)
                .and_then(|socket| converter.connection(&socket));
            now.is_some_and(|now| is_same(&now, known) && self.note(&now, thresholds))
        });
        self.adopted = adopted;
        pending
    }

    /// A namespace younger than the latest walk is one whose settings are not known yet.
    fn meet(&mut self, ebpf: &Ebpf, converter: &mut Converter, netns: u32) {
        if !converter.knows(netns)
            && let Ok(nets) = walk::nets(ebpf, &mut self.seen)
        {
            converter.learn(&nets);
        }
    }

    /// Counts a suspect; whether it is one.
    fn note(&mut self, connection: &Connection, thresholds: &Thresholds) -> bool {
        let Liveness::Suspect(evidence) = judge(connection, thresholds).liveness else {
            return false;
        };
        let group = self.suspects.entry(census::group(connection)).or_default();
        *group.entry(evidence).or_default() += 1;
        self.suspicious.insert(connection.sock);
        true
    }

    /// Marks the record of a socket that was heard, and reads what the socket looks like.
    fn see(&mut self, ebpf: &Ebpf, sock: u64) -> Option<Socket> {
        // Refused at load already, and said so then; the hooks count the answer at the next firing.
        programs::run(ebpf, LOOK, sock).ok()?;
        let mut seen = None;
        while let Some(item) = self.seen.next() {
            seen = Socket::read_from_bytes(&item).ok();
        }
        seen
    }
}

/// Whether the socket there is still the one the record is of.
fn is_of(socket: &Socket, record: &Record) -> bool {
    socket.remote_port == record.remote_port
        && socket.remote == record.remote
        && socket.net.inum == record.net.inum
}

/// Whether two readings at one address are of the same connection.
fn is_same(now: &Connection, then: &Connection) -> bool {
    (now.netns, now.local, now.remote) == (then.netns, then.local, then.remote)
}

/// The clock of the records: CLOCK_MONOTONIC, nanoseconds.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
