//! Looks at the sockets to which something happened: whether an answer came, and which are suspects
//! now. No hook sees an answer come.
//!
//! # Invariants
//! An answer is only marked in the record here; the next hook counts it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use halfopen_common::{Record, Socket};
use tracing::warn;
use zerocopy::FromBytes as _;

use super::{
    duty_cycle::DutyCycle,
    walk::{self, Converter, NETS},
};
use crate::bpf::{
    loaded_object::{Entries, Object},
    maps::Maps,
};
use crate::host::clock;
use halfopen_core::model::{
    census,
    connection::Connection,
    group::Suspects,
    groups::{self, PendingAnswers},
    liveness::{Liveness, Thresholds, classify},
};

/// The program that looks at one socket, run by hand, never attached …
const READ_ONE: &str = "suspect";
/// … and at all whose record has news.
const READ_CHANGED: &str = "suspects";
/// Suspects are never shown older than this, whatever a look costs: with tens of thousands of sockets
/// in trouble it takes a tenth of a second or two.
const OLDEST: Duration = Duration::from_secs(1);
/// An event this much older than the look before was seen by it.
const SLACK_NS: u64 = 1_000_000;

/// What a look brought.
#[derive(Debug, Default)]
pub struct SuspectUpdate {
    /// Answers the hooks have not counted yet.
    pub pending: PendingAnswers,
    /// Which connections are suspects now.
    pub suspects: Suspects,
}

/// The running look-out.
pub struct SuspectTracker {
    pace: DutyCycle,
    works: bool,
    /// The kernel's clock at the look before.
    before_ns: u64,
    /// Suspects of the look before.
    suspicious: BTreeSet<u64>,
    /// Suspects that a walk met and no hook has seen yet, by the address of their socket.
    from_walk: BTreeMap<u64, Connection>,
    suspects: Suspects,
    /// Records when they were last looked through.
    pub records: u64,
}

impl SuspectTracker {
    /// Loads the programs.
    pub fn new(object: &mut Object) -> Self {
        let mut load = |name| {
            let report = |error: &_| warn!(%error, program = name, "answers show late and suspects are unknown: the kernel refused a program that looks at sockets");
            object.load_to_run(name).inspect_err(report)
        };
        let works = [READ_ONE, READ_CHANGED, NETS]
            .into_iter()
            .all(|name| load(name).is_ok());
        Self {
            pace: DutyCycle::default(),
            works,
            before_ns: 0,
            suspicious: BTreeSet::new(),
            from_walk: BTreeMap::new(),
            suspects: Suspects::new(),
            records: 0,
        }
    }

    /// Whether suspects can be known.
    pub const fn works(&self) -> bool {
        self.works
    }

    /// Watches these suspects too, which a walk met; those that a hook has seen are left to it.
    pub fn watch(&mut self, suspects: Vec<Connection>) {
        self.from_walk = suspects
            .into_iter()
            .map(|connection| (connection.sock, connection))
            .collect();
        // At once: what the walk found must not wait for the pace.
        self.pace = DutyCycle::default();
    }

    /// Looks again if it is time; else the suspects are those of the look before, and no answer is
    /// pending. Without a converter no suspect can be told, but answers are.
    pub fn update(
        &mut self,
        object: &mut Object,
        maps: &Maps,
        converter: Option<&mut Converter>,
        thresholds: &Thresholds,
    ) -> SuspectUpdate {
        let mut pending = PendingAnswers::new();
        if self.pace.is_due() {
            let began = Instant::now();
            pending = self.update_now(object, maps, converter, thresholds);
            self.pace.done(began, OLDEST);
        }
        SuspectUpdate {
            pending,
            suspects: self.suspects.clone(),
        }
    }

    fn update_now(
        &mut self,
        object: &mut Object,
        maps: &Maps,
        mut converter: Option<&mut Converter>,
        thresholds: &Thresholds,
    ) -> PendingAnswers {
        let mut pending = PendingAnswers::new();
        let before_ns = std::mem::replace(
            &mut self.before_ns,
            clock::monotonic_ns().saturating_sub(SLACK_NS),
        );
        let suspicious = std::mem::take(&mut self.suspicious);
        self.suspects.clear();
        let (mut met, records) = self.read_changed(object, maps, before_ns);
        self.records = records;
        let others = suspicious.iter().filter(|sock| !met.contains_key(sock));
        let others: Vec<_> = others.map(|sock| (*sock, see(object, *sock))).collect();
        met.extend(others);
        for Met { socket, record } in met.into_values() {
            let Some(record) = record else { continue };
            groups::add_pending(&mut pending, &record);
            let same = socket.filter(|socket| is_of(socket, &record));
            let (Some(socket), Some(converter)) = (same, converter.as_deref_mut()) else {
                continue;
            };
            meet(object, converter, socket.net.inum);
            if let Some(connection) = converter.connection(&socket) {
                self.note(&connection, thresholds);
            }
        }
        let Some(converter) = converter else {
            // sock_diag does not tell where a socket is: there is nothing to look at.
            self.from_walk.clear();
            return pending;
        };
        let mut from_walk = std::mem::take(&mut self.from_walk);
        from_walk.retain(|sock, known| {
            let met = see(object, *sock);
            if met.record.is_some() {
                return false;
            }
            let now = met.socket.and_then(|socket| converter.connection(&socket));
            now.is_some_and(|now| is_same(&now, known) && self.note(&now, thresholds))
        });
        self.from_walk = from_walk;
        pending
    }

    /// Looks at every socket whose record has news since then; and how many records there are.
    fn read_changed(
        &self,
        object: &mut Object,
        maps: &Maps,
        since_ns: u64,
    ) -> (BTreeMap<u64, Met>, u64) {
        let mut all = BTreeMap::new();
        if !self.works {
            // Said when the programs were refused.
            return (all, maps.records().len() as u64);
        }
        let mut latest = 0;
        let passed = object.dump(READ_CHANGED, since_ns, Entries::Kept, |item| {
            if let Ok(sock) = u64::read_from_bytes(item) {
                latest = sock;
            }
            all.entry(latest).or_insert_with(Met::default).take(item);
        });
        let records = passed.unwrap_or_else(|error| {
            warn!(%error, "answers show late and suspects are unknown");
            0
        });
        (all, records.into())
    }

    /// Counts a suspect; whether it is one.
    fn note(&mut self, connection: &Connection, thresholds: &Thresholds) -> bool {
        let Liveness::Suspect(evidence) = classify(connection, thresholds).liveness else {
            return false;
        };
        let group = self.suspects.entry(census::group(connection)).or_default();
        *group.entry(evidence).or_default() += 1;
        self.suspicious.insert(connection.sock);
        true
    }
}

/// What was met at one address.
#[derive(Debug, Default)]
struct Met {
    socket: Option<Socket>,
    record: Option<Record>,
}

impl Met {
    /// One of the items that are handed out, which differ in size.
    fn take(&mut self, item: &[u8]) {
        if let Ok(record) = Record::read_from_bytes(item) {
            self.record = Some(record);
        } else if let Ok(socket) = Socket::read_from_bytes(item) {
            self.socket = Some(socket);
        }
    }
}

/// Marks the record of a socket that was heard, and reads what both look like.
fn see(object: &mut Object, sock: u64) -> Met {
    let mut met = Met::default();
    // Refused at load already, and said so then; the hooks count the answer at the next firing.
    let _ = object.run(READ_ONE, [sock, 0], |item| met.take(item));
    met
}

/// A namespace younger than the latest walk is one whose settings are not known yet.
fn meet(object: &mut Object, converter: &mut Converter, netns: u32) {
    if !converter.knows(netns)
        && let Ok(nets) = walk::nets(object)
    {
        converter.learn(&nets);
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
