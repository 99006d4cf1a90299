//! The readings that are compared, each with less or more of whose the sockets are.
//!
//! # Invariants
//! The time to evaluate the result does not count.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use halfopen::{
    host::owners::Owners,
    options::Options,
    sockets::{
        Reader,
        walk::{self, Converter, Request},
    },
};
use halfopen_core::model::{
    assessed::{ListOptions, NameProcesses},
    connection::Connection,
};
use rustix::time::{ClockId, clock_gettime};

use crate::usage;

/// Which reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ss -tan`.
    Ss,
    /// `ss -tanp`.
    SsProcesses,
    /// Our list, whose sockets have no cgroup that could be asked after.
    Bare,
    /// With owners that were told before.
    Known,
    /// With owners, of whom nothing is known beforehand: what `ss` begins with too.
    Owners,
    /// And the processes.
    Processes,
    /// The command, which must first load its programs into the kernel.
    Command,
}

impl Kind {
    /// In the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Ss,
        Self::SsProcesses,
        Self::Bare,
        Self::Known,
        Self::Owners,
        Self::Processes,
        Self::Command,
    ];

    /// As it is shown.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ss => "ss -tan",
            Self::SsProcesses => "ss -tanp",
            Self::Bare => "list without owners",
            Self::Known => "list, owners met before",
            Self::Owners => "list, owners",
            Self::Processes => "list, owners, processes",
            Self::Command => "halfopen list --all --processes",
        }
    }
}

/// What one reading took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
}

/// How many owners and processes one of our readings reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnersReported {
    pub sockets: usize,
    /// Of how many the owner is known.
    pub owned: usize,
    /// Different ones.
    pub owners: usize,
    /// How many have a process.
    pub held: usize,
    /// Different ones.
    pub processes: usize,
}

/// All of them, ready.
pub struct Readers {
    reader: Reader,
    hz: u64,
    netns: u32,
}

impl Readers {
    /// Loads our walk, to read the namespace of this inode number.
    pub fn load(netns: u32) -> Result<Self> {
        let mut reader = Reader::open(&Options::default()).context("loading the walk")?;
        let Reader::Walk { walker, .. } = &mut reader else {
            bail!("the kernel refuses the walk");
        };
        let nets = walker.nets().context("listing network namespaces")?;
        let own = nets.first().context("there is no network namespace")?;
        let hz = walk::hz(own)?;
        Ok(Self { reader, hz, netns })
    }

    /// Reads once; what that took, and what it told where it is one of ours.
    pub fn read(&mut self, kind: Kind) -> Result<(Cost, Option<OwnersReported>)> {
        let command = |program: &str, flags: &[&str]| Ok((run(program, flags)?, None));
        match kind {
            Kind::Ss => command("ss", &["-tan"]),
            Kind::SsProcesses => command("ss", &["-tanp"]),
            Kind::Command => command(
                env!("CARGO_BIN_EXE_halfopen"),
                &["list", "--all", "--processes"],
            ),
            Kind::Bare => ours(|| self.bare()),
            Kind::Known => {
                // The previous reading left whom it met, unless it met nobody.
                self.list(false)?;
                ours(|| self.list(false))
            }
            Kind::Owners => ours(|| self.list_anew(false)),
            Kind::Processes => ours(|| self.list_anew(true)),
        }
    }

    fn list(&mut self, processes: bool) -> Result<Vec<Connection>> {
        let extent = ListOptions {
            netns: Some(self.netns),
            most: usize::MAX,
            processes: if processes {
                NameProcesses::Always
            } else {
                NameProcesses::Never
            },
        };
        let reading = self.reader.list_to(extent, &|_| true);
        Ok(reading.context("reading the list")?.connections)
    }

    fn list_anew(&mut self, processes: bool) -> Result<Vec<Connection>> {
        let (Reader::Walk { owners, .. } | Reader::SockDiag { owners }) = &mut self.reader;
        *owners = Owners::for_options(&Options::default());
        self.list(processes)
    }

    /// As the list does it.
    fn bare(&mut self) -> Result<Vec<Connection>> {
        let Reader::Walk { walker, owners, .. } = &mut self.reader else {
            bail!("the kernel refuses the walk");
        };
        let nets = walker.nets()?;
        let mut converter = Converter::new(&nets, self.hz, owners.clone());
        let request = Request {
            sums: false,
            quiet_jiffies: 0,
            netns: Some(self.netns),
        };
        let mut connections = Vec::new();
        let each = |socket: &halfopen_common::Socket| {
            let mut socket = *socket;
            socket.cgroup = 0;
            if let Some(connection) = converter.connection(&socket) {
                connections.push(connection);
            }
        };
        walker.walk(&nets, &request, each, || {})?;
        Ok(connections)
    }
}

/// Reads in this process, and forgets what was read: that takes time too.
fn ours(read: impl FnOnce() -> Result<Vec<Connection>>) -> Result<(Cost, Option<OwnersReported>)> {
    let own = || Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?);
    let (connections, taken) = timed(own, read)?;
    let reported = reported(&connections);
    let ((), freed) = timed(own, || {
        drop(connections);
        Ok(())
    })?;
    let cost = Cost {
        wall: taken.wall + freed.wall,
        cpu: taken.cpu + freed.cpu,
    };
    Ok((cost, Some(reported)))
}

/// Runs a program, its output thrown away.
fn run(program: &str, flags: &[&str]) -> Result<Cost> {
    let output = || {
        let mut command = Command::new(program);
        command.args(flags).stdin(Stdio::null());
        let output = command.stdout(Stdio::null()).output();
        output.with_context(|| format!("starting {program}"))
    };
    let (output, cost) = timed(usage::children_cpu, output)?;
    ensure!(
        output.status.success(),
        "{program} {flags:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(cost)
}

fn timed<T>(
    cpu: impl Fn() -> Result<Duration>,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Cost)> {
    let (began, before) = (Instant::now(), cpu()?);
    let done = work()?;
    let cost = Cost {
        wall: began.elapsed(),
        cpu: cpu()?.saturating_sub(before),
    };
    Ok((done, cost))
}

fn reported(connections: &[Connection]) -> OwnersReported {
    let owners = || connections.iter().filter_map(|it| it.owner.as_ref().ok());
    let holders = |it: &'_ Connection| it.processes.as_ref().ok().is_some_and(|it| !it.is_empty());
    let processes = connections
        .iter()
        .filter_map(|it| it.processes.as_ref().ok());
    OwnersReported {
        sockets: connections.len(),
        owned: owners().count(),
        owners: owners().collect::<BTreeSet<_>>().len(),
        held: connections.iter().filter(|it| holders(it)).count(),
        processes: processes
            .flatten()
            .map(|holder| holder.pid)
            .collect::<BTreeSet<_>>()
            .len(),
    }
}
