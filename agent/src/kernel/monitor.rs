//! The running hooks, and how a snapshot is read from them.
//! It must never read in another order than it does: what is shown depends on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, TestRun as _,
    programs::{Program, RawTracePoint, RawTracePointRunOptions},
    sys::{Stats, enable_stats},
};
use halfopen_common::{Loss, NetKey, Outstanding, Record};
use tracing::warn;

use super::{
    Error, Options,
    attach::{self, Attached},
    btf,
    drain::Drain,
    hooks::Role,
    maps::Maps,
    netns, object, privileges,
};
use crate::{
    host::{
        namespaces::{self, Depth},
        prog_info::ProgramStatistics,
        snmp,
    },
    model::{
        accounting::{Books, Counted, KernelCounts, Round},
        groups::{self, Ledger, Pending, Reasons},
        snapshot::{Build, Coverage, Losses, Seen, Snapshot},
    },
};

/// How long a hook may lag behind the kernel's own counter on another processor.
const SETTLE: Duration = Duration::from_millis(20);
/// Share of one processor that looking for answers and namespaces may take.
const PACE: u32 = 50;
/// Every thread of the host is looked at this often, for a namespace that no process is in.
const THREADS: Duration = Duration::from_secs(60);
/// Readings closer together than this share what is costly.
const FRESH: Duration = Duration::from_millis(200);

/// The attached hooks. Dropping it detaches them all.
pub struct Monitor {
    ebpf: Ebpf,
    maps: Maps,
    attached: Vec<Attached>,
    reasons: Reasons,
    books: Books,
    ledger: Ledger,
    records: Paced<u64>,
    compared: Paced<()>,
    threads: Paced<()>,
    /// Keeps the kernel's statistics on.
    statistics: Option<std::os::fd::OwnedFd>,
    build: Build,
    compare_interval: Duration,
    _drain: Drain,
}

/// Something costly that is done again only when its last run has been paid off.
struct Paced<T> {
    value: T,
    next: Option<Instant>,
}

impl<T> Paced<T> {
    const fn new(value: T) -> Self {
        Self { value, next: None }
    }

    fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// Takes the new value; it is done again after `longest` at the latest.
    fn done(&mut self, value: T, began: Instant, longest: Duration) {
        let now = Instant::now();
        self.value = value;
        self.next = Some(now + FRESH.max((now - began) * PACE).min(longest));
    }
}

impl Monitor {
    /// Loads the programs and attaches every hook that can be.
    ///
    /// # Errors
    /// When a privilege or kernel feature is missing, or nothing could be attached.
    pub fn start(options: &Options) -> Result<Self, Error> {
        privileges::check()?;
        let mut layout = btf::read(&options.btf)?;
        attach::resolve_addresses(&mut layout);
        let mut ebpf = object::load(&layout, options)?;
        let mut maps = Maps::take(&mut ebpf)?;
        let drain = Drain::start(&mut ebpf, options.kernel_log)?;
        let btf = object::btf(&options.btf)?;
        let attached = attach::all(&mut ebpf, &btf, &layout, &mut maps, options)?;
        drop(btf);
        if attached.iter().all(|attached| attached.way.is_none()) {
            return Err(nothing(&attached, &ebpf));
        }
        trim();
        load_refresh(&mut ebpf);
        let statistics = options
            .bpf_stats
            .then(|| enable_stats(Stats::RunTime))
            .and_then(|result| {
                result
                    .inspect_err(|error| warn!(%error, "the kernel does not measure BPF programs"))
                    .ok()
            });
        let mut monitor = Self {
            ebpf,
            maps,
            attached,
            reasons: Reasons::new(&layout.reset_reasons),
            books: Books::default(),
            ledger: Ledger::default(),
            records: Paced::new(0),
            compared: Paced::new(()),
            threads: Paced::new(()),
            statistics,
            build: build(),
            compare_interval: options.compare_interval,
            _drain: drain,
        };
        monitor.compare();
        Ok(monitor)
    }

    /// Reads everything.
    pub fn snapshot(&mut self) -> Snapshot {
        if self.compared.is_due() {
            self.compare();
        }
        // Before the pending answers: an answer must not be counted twice.
        let counters = self.maps.groups().collect();
        // An earlier look will not do: the hooks may have counted since what it found.
        let pending = if self.records.is_due() {
            self.look_for_answers()
        } else {
            Pending::new()
        };
        let groups = self.ledger.show(&counters, &pending, &self.reasons);
        Snapshot {
            groups,
            coverage: coverage(&self.attached),
            accounting: self.books.balances(),
            hooks: self
                .attached
                .iter()
                .map(|attached| attached.status(&self.ebpf, self.statistics.is_some()))
                .collect(),
            losses: self.losses(),
            namespaces: self.books.namespaces(),
            records: self.records.value,
            build: self.build.clone(),
        }
    }

    /// Holds our counts against the kernel's, in every namespace.
    fn compare(&mut self) {
        let began = Instant::now();
        let before = self.maps.nets().collect();
        let (kernel, existing) = self.read_kernel_counters(&before);
        let after = self.maps.nets().collect();
        let mut round = Round {
            before,
            kernel,
            after,
            existing,
        };
        if self.books.has_new_shortfall(&round) {
            thread::sleep(SETTLE);
            round.after = self.maps.nets().collect();
        }
        for gone in self.books.enter(&round) {
            self.maps.forget_net(&gone);
        }
        self.compared.done((), began, self.compare_interval);
    }

    fn read_kernel_counters(
        &mut self,
        counted: &Counted,
    ) -> (BTreeMap<NetKey, KernelCounts>, BTreeSet<u32>) {
        let began = Instant::now();
        let mut found = namespaces::find(Depth::Processes);
        // The hooks have met a namespace that no process is in: then a thread may be.
        let is_new = |key: &&NetKey| key.inum != 0 && !found.contains_key(&key.inum);
        if counted.keys().any(|key| is_new(&key)) || self.threads.is_due() {
            found = namespaces::find(Depth::Threads);
            self.threads.next = Some(began + THREADS);
        }
        let visited = namespaces::visit(&found, || {
            let counts = snmp::read(Path::new("/proc/thread-self/net"))?;
            Ok((netns::cookie().unwrap_or(0), counts))
        });
        let mut kernel = BTreeMap::new();
        match visited {
            Ok(visited) => {
                for (inum, result) in visited {
                    // One that could not be entered shows as not seen.
                    if let Ok((cookie, counts)) = result {
                        kernel.insert(
                            NetKey {
                                cookie,
                                inum,
                                padding: 0,
                            },
                            counts,
                        );
                    }
                }
            }
            Err(error) => warn!(%error, "cannot read the kernel's counters"),
        }
        (kernel, found.into_keys().collect())
    }

    /// No hook sees an answer come: asks each socket whose probe waits for one.
    fn look_for_answers(&mut self) -> Pending {
        let began = Instant::now();
        let mut pending = Pending::new();
        let mut socks = BTreeSet::new();
        let mut waiting = Vec::new();
        for (sock, record) in self.maps.records() {
            // A map that changes while it is read may come round again.
            if !socks.insert(sock) {
                continue;
            }
            if record.outstanding != Outstanding::NONE {
                waiting.push(sock);
            }
        }
        for sock in waiting {
            refresh(&self.ebpf, sock);
            if let Some(record) = self.maps.record(sock) {
                groups::add_pending(&mut pending, &record);
            }
        }
        self.records.done(socks.len() as u64, began, Duration::MAX);
        pending
    }

    fn losses(&self) -> Losses {
        let loss = |which| self.maps.loss(which);
        Losses {
            events_dropped: loss(Loss::EventsDropped),
            map_full: BTreeMap::from([
                ("sockets", loss(Loss::RecordsFull)),
                ("groups", loss(Loss::GroupsFull)),
                ("namespaces", loss(Loss::NetsFull)),
            ]),
            groups_overflowed: loss(Loss::GroupsFull),
        }
    }

    /// The records of the sockets that have one now, each once.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        // A map that changes while it is read may come round again.
        self.maps
            .records()
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    }

    /// What each program costs: its name, what it is attached to, and its statistics.
    #[must_use]
    pub fn programs(&self) -> Vec<(&'static str, &'static str, ProgramStatistics)> {
        let attachments = self.attached.iter().flat_map(Attached::programs);
        attachments
            .filter_map(|(program, target)| {
                Some((
                    program,
                    target,
                    super::programs::statistics(&self.ebpf, program)?,
                ))
            })
            .collect()
    }

    /// Detaches every hook and keeps the programs loaded, for a measurement without them.
    ///
    /// # Errors
    /// When the kernel would not.
    pub fn pause(&mut self) -> Result<(), String> {
        self.attached
            .iter_mut()
            .try_for_each(|attached| attached.pause(&mut self.ebpf))
    }

    /// Attaches again what [`Self::pause`] detached.
    ///
    /// # Errors
    /// When the kernel would not.
    pub fn resume(&mut self) -> Result<(), String> {
        self.attached
            .iter_mut()
            .try_for_each(|attached| attached.resume(&mut self.ebpf))
    }
}

/// What can be known with these hooks.
fn coverage(attached: &[Attached]) -> Coverage {
    let seen = |roles: &[Role]| -> Seen {
        let needed = attached
            .iter()
            .filter(|attached| roles.contains(&attached.hook.role));
        let missing: Vec<String> = needed.filter_map(Attached::missing).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join(", "))
        }
    };
    Coverage {
        keepalive_probes: seen(&[Role::Probes]),
        window_probes: seen(&[Role::Probes]),
        retransmission_timeouts: seen(&[Role::Retransmissions]),
        resets_received: seen(&[Role::ResetsReceived]),
        resets_sent: seen(&[Role::ActiveResets, Role::ReplyResets]),
        deaths: seen(&[
            Role::States,
            Role::KeepaliveTimer,
            Role::WriteTimer,
            Role::ResetsReceived,
            Role::ActiveResets,
        ]),
    }
}

/// Not one hook attached: says why, and what then cannot be known.
fn nothing(attached: &[Attached], ebpf: &Ebpf) -> Error {
    let reason = attached
        .iter()
        .flat_map(|attached| &attached.refused)
        .next();
    Error::NothingAttached {
        reason: reason.map_or_else(
            || "none was tried".into(),
            |(mechanism, why)| format!("{}: {why}", mechanism.as_str()),
        ),
        snapshot: Box::new(Snapshot {
            coverage: coverage(attached),
            hooks: attached
                .iter()
                .map(|attached| attached.status(ebpf, false))
                .collect(),
            build: build(),
            ..Snapshot::default()
        }),
    }
}

fn build() -> Build {
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("HALFOPEN_REVISION").to_owned(),
        kernel: release(),
    }
}

/// Gives back to the system what parsing BTF took: some 10 MiB that are never needed again.
fn trim() {
    // SAFETY: takes no pointer; it may be called at any time (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// The program that is run by hand, never attached.
const REFRESH: &str = "refresh";

fn load_refresh(ebpf: &mut Ebpf) {
    if let Some(program) = refresh_program_mut(ebpf)
        && let Err(error) = program.load()
    {
        warn!(%error, "answers show late: the kernel refused the program that asks sockets for them");
    }
}

fn refresh_program_mut(ebpf: &mut Ebpf) -> Option<&mut RawTracePoint> {
    match ebpf.program_mut(REFRESH)? {
        Program::RawTracePoint(program) => Some(program),
        _ => None,
    }
}

fn refresh(ebpf: &Ebpf, sock: u64) {
    let Some(Program::RawTracePoint(program)) = ebpf.program(REFRESH) else {
        return;
    };
    let mut options = RawTracePointRunOptions::new();
    options.args[0] = sock;
    // Refused at load already, and said so then; the hooks count the answer at the next firing.
    let _ = program.test_run(options);
}

fn release() -> String {
    let read = |path| -> io::Result<String> { fs::read_to_string(path) };
    read("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
