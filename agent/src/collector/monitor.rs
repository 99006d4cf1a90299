//! The running hooks, and how a snapshot is read from them.
//!
//! # Invariants
//! The order of the readings in `snapshot` decides what is shown: each comment there says why.

use std::{collections::BTreeMap, fs, os::fd::OwnedFd, sync::Arc};

use halfopen_common::{GroupCounts, GroupKey, Loss, Record};
use halfopen_core::model::{
    coverage::{Availability, Coverage},
    death::silences,
    event::{Listener, Nobody},
    groups::Reasons,
    liveness::Thresholds,
    snapshot::{Build, Losses, Snapshot, WalkStatus, Walked},
};
use tracing::warn;

use super::{comparison::ComparisonReader, groups::Groups};
use crate::{
    bpf::{
        Error,
        attach::{self, Attached},
        btf,
        hooks::Role,
        load,
        loaded_object::Object,
        maps::Maps,
        pin::{Pins, takeover},
        prog_info::ProgramStatistics,
        statistics,
    },
    events::{
        decode::EventDecoder,
        ignored::{IgnoredReading, IgnoredTally},
        ring_buffer::EventThread,
    },
    host::{memory, owners::Owners, privileges},
    options::Options,
    sockets::{
        reader::{Reader, WalkResult},
        suspects::SuspectTracker,
        walk::Converter,
        worker::{ListRequester, WalkWorker},
    },
};

/// The attached hooks. Dropping it detaches them all, unless they are pinned.
pub struct Monitor {
    object: Object,
    maps: Maps,
    attached: Vec<Attached>,
    reasons: Reasons,
    comparison: ComparisonReader,
    /// What the hooks had counted in each group when it could be read last.
    counters: BTreeMap<GroupKey, GroupCounts>,
    /// What was ignored of that.
    ignored: IgnoredReading,
    tally: Arc<IgnoredTally>,
    groups: Groups,
    suspects: SuspectTracker,
    walker: WalkWorker,
    /// The walk that was shown last, and what is needed to understand sockets since.
    walked: Option<Arc<WalkResult>>,
    converter: Option<Converter>,
    thresholds: Thresholds,
    /// Keeps the kernel's statistics on.
    statistics: Option<OwnedFd>,
    build: Build,
    _events: EventThread,
    /// Nobody else may go on with them as long as this agent does.
    _pins: Option<Pins>,
}

impl Monitor {
    /// Loads the programs and attaches every hook that can be; nobody hears of events.
    ///
    /// # Errors
    /// When a privilege or kernel feature is missing, or nothing could be attached.
    pub fn start(options: &Options) -> Result<Self, Error> {
        Self::start_telling(options, Arc::new(Nobody))
    }

    /// The same, with events told to a listener.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_telling(options: &Options, listener: Arc<dyn Listener>) -> Result<Self, Error> {
        privileges::check()?;
        let mut layout = btf::read(&options.btf)?;
        // Parsing it took tens of MiB, which the next steps must not come on top of.
        memory::trim();
        attach::resolve_addresses(&mut layout);
        let owners = Owners::for_options(options);
        let mut reader = Reader::open_for(&layout, owners.clone())?;
        let hz = reader.hz();
        layout.kernel.jiffy_ns = hz.map_or(0, |hz| 1_000_000_000 / hz);
        let pins = options.pin.as_deref();
        let mut pins = pins.map(|pins| Pins::open(pins, options)).transpose()?;
        let mut object = load::load(&layout, options, pins.as_ref())?;
        let mut maps = Maps::take(&mut object)?;
        let reasons = Reasons::new(&layout.reset_reasons);
        let tally = IgnoredTally::open(&mut object, options.ignore.clone(), pins.is_some())?;
        let tally = Arc::new(tally);
        let events = EventThread::start(
            &mut object,
            EventDecoder::new(reasons.clone(), hz, owners.clone()),
            Arc::clone(&tally),
            maps.switches(),
            maps.losses(),
            listener,
            options.kernel_log,
        )?;
        let attached = if let Some(pins) = &mut pins {
            takeover::or_replace(pins, &mut object, &layout, &maps, options)?
        } else {
            let btf = load::btf(&options.btf)?;
            attach::all(&mut object, &btf, &layout, &maps, options).0
        };
        if attached.iter().all(|attached| attached.way.is_none()) {
            return Err(nothing(&attached, &object));
        }
        let suspects = SuspectTracker::new(&mut object);
        let walker = WalkWorker::start(reader, options.thresholds, options.walk_interval)?;
        memory::trim();
        let statistics = options
            .bpf_stats
            .then(statistics::enable)
            .and_then(|result| {
                let report = |error: &_| warn!(%error, "the kernel does not measure BPF programs");
                result.inspect_err(report).ok()
            });
        let mut comparison = ComparisonReader::new(&mut object, options.compare_interval);
        comparison.keep_up(&mut object, &mut maps);
        Ok(Self {
            object,
            maps,
            attached,
            reasons,
            comparison,
            counters: BTreeMap::new(),
            ignored: IgnoredReading::default(),
            tally,
            groups: Groups::new(owners, options.limits.clone(), pins.is_some()),
            suspects,
            walker,
            walked: None,
            converter: None,
            thresholds: options.thresholds,
            statistics,
            build: build(),
            _events: events,
            _pins: pins,
        })
    }

    /// Reads everything.
    pub fn snapshot(&mut self) -> Snapshot {
        self.comparison.keep_up(&mut self.object, &mut self.maps);
        // Before the pending answers: an answer must not be counted twice.
        // Before what is ignored: of every death that is counted here it must be known.
        if let Some(counters) = Maps::groups(&mut self.object)
            && let Some(ignored) = self.tally.up_to_now()
        {
            self.counters = counters;
            self.ignored = ignored;
        }
        let walk = self.walk();
        let converter = self.converter.as_mut();
        let update =
            self.suspects
                .update(&mut self.object, &self.maps, converter, &self.thresholds);
        let counts = self.groups.count(
            &self.counters,
            &update.pending,
            &self.ignored.deaths,
            &self.reasons,
        );
        let shown = self.groups.show(counts, update.suspects, walk);
        self.groups.forget(
            &mut self.counters,
            &mut self.maps,
            &self.tally,
            &self.reasons,
        );
        let coverage = coverage(&self.attached);
        Snapshot {
            groups: shown.counts,
            groups_folded: shown.folded,
            suspects: shown.suspects,
            walk: shown.walk,
            coverage: Coverage {
                suspects: self.sees_suspects(&coverage),
                ..coverage
            },
            accounting: self.comparison.result.balances(),
            host_counters: self.comparison.host.sums(),
            hooks: self
                .attached
                .iter()
                .map(|attached| attached.status(&self.object, self.statistics.is_some()))
                .collect(),
            deaths_ignored: self.ignored.total,
            silences: silences::by_cause(self.maps.silences()),
            losses: self.losses(),
            namespaces: self.comparison.result.namespaces(),
            records: self.suspects.records,
            build: self.build.clone(),
        }
    }

    /// The latest walk, and its suspects handed to those who look after them.
    fn walk(&mut self) -> WalkStatus {
        let walked = match self.walker.latest() {
            Ok(walked) => walked,
            Err(reason) => return WalkStatus::Failed(reason),
        };
        let is_new = self
            .walked
            .as_ref()
            .is_none_or(|shown| !Arc::ptr_eq(shown, &walked));
        if is_new {
            self.suspects.watch(walked.suspects.clone());
            // Of those that listened before the hooks came no hook has seen the beginning.
            if self.walked.is_none() {
                for (key, listeners) in &walked.listeners {
                    self.maps.note_listeners(*key, *listeners);
                }
            }
            self.converter.clone_from(&walked.converter);
            self.walked = Some(Arc::clone(&walked));
        }
        WalkStatus::Done(Walked {
            census: Arc::clone(&walked.census),
            age: walked.at.elapsed(),
            duration: walked.duration,
            incomplete: walked.incomplete,
            source: walked.source,
        })
    }

    /// Whether suspects are known between walks, with hooks that see this.
    fn sees_suspects(&self, hooks: &Coverage) -> Availability {
        if !self.suspects.works() {
            return Err("the kernel refused the program that looks at sockets".into());
        }
        if self.converter.is_none() {
            return Err("no walk has read the namespaces' settings yet".into());
        }
        hooks
            .keepalive_probes
            .clone()
            .and_then(|()| hooks.retransmission_timeouts.clone())
    }

    /// For those who want lists of connections.
    #[must_use]
    pub fn lists(&self) -> ListRequester {
        self.walker.lists()
    }

    fn losses(&self) -> Losses {
        let losses = self.maps.losses();
        let loss = |which| losses.of(which);
        Losses {
            events_dropped: loss(Loss::EventsDropped),
            certificates_lost: loss(Loss::DeathRecordsLost),
            map_full: BTreeMap::from([
                ("sockets", loss(Loss::RecordsFull)),
                ("births", loss(Loss::StartTimesFull)),
                ("listeners", loss(Loss::ListenersFull)),
                ("groups", loss(Loss::GroupsFull)),
                ("namespaces", loss(Loss::NetsFull)),
            ]),
            groups_overflowed: loss(Loss::GroupsFull),
            records_stale: loss(Loss::StaleRecords),
            events_unreadable: loss(Loss::Unreadable),
        }
    }

    /// The records of the sockets that have one now, each once.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.maps.records().into_values().collect()
    }

    /// What each program costs: its name, what it is attached to, and its statistics.
    #[must_use]
    pub fn programs(&self) -> Vec<(&'static str, &'static str, ProgramStatistics)> {
        let attachments = self.attached.iter().flat_map(Attached::programs);
        attachments
            .filter_map(|(program, target)| {
                Some((program, target, self.object.statistics(program)?))
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
            .try_for_each(|attached| attached.pause(&mut self.object))
    }

    /// Attaches again what [`Self::pause`] detached.
    ///
    /// # Errors
    /// When the kernel would not.
    pub fn resume(&mut self) -> Result<(), String> {
        self.attached
            .iter_mut()
            .try_for_each(|attached| attached.resume(&mut self.object))
    }
}

/// What can be known with these hooks.
fn coverage(attached: &[Attached]) -> Coverage {
    let seen = |roles: &[Role]| -> Availability {
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
        netfilter_resets: seen(&[Role::NetfilterResets]),
        deaths: seen(&[
            Role::States,
            Role::KeepaliveTimer,
            Role::WriteTimer,
            Role::ResetsReceived,
            Role::ActiveResets,
        ]),
        syn_cookies: seen(&[Role::SynCookies]),
        connects_without_port: seen(&[Role::States]),
        suspects: Ok(()),
    }
}

/// Not one hook attached: says why, and what then cannot be known.
fn nothing(attached: &[Attached], object: &Object) -> Error {
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
                .map(|attached| attached.status(object, false))
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

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
