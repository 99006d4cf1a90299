//! The ways to read every socket, each in a process of its own.
//! They must never do more for the benchmark's sake than count.

mod diag;
mod exporter;
mod floor;
mod procfs;
mod ss;
mod walk;

use std::{
    fs,
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    child,
    reader::{FAILED, Reading, Start},
};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Our walk as the metrics need it.
    Walk,
    /// Our walk, bringing every socket.
    WalkFull,
    /// The kernel's iterator with an empty program, once for each namespace.
    Iterator,
    /// `ss -tan`.
    Ss,
    /// `ss -tanoi`.
    SsInfo,
    /// Reading /proc/net/tcp.
    Proc,
    /// A dump by netlink's sock_diag, without extensions.
    Diag,
    /// A scrape of node_exporter with nothing but its collector tcpstat.
    NodeExporter,
}

impl Kind {
    /// In the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Walk,
        Self::WalkFull,
        Self::Iterator,
        Self::Ss,
        Self::SsInfo,
        Self::Proc,
        Self::Diag,
        Self::NodeExporter,
    ];

    /// As it is typed.
    pub fn word(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// As it is shown.
    pub fn title(self) -> &'static str {
        match self {
            Self::Walk => "walk, idle sockets summed",
            Self::WalkFull => "walk, each socket in full",
            Self::Iterator => "empty BPF iterator",
            Self::Ss => "ss -tan",
            Self::SsInfo => "ss -tanoi",
            Self::Proc => "/proc/net/tcp",
            Self::Diag => "sock_diag, no extension",
            Self::NodeExporter => "node_exporter tcpstat",
        }
    }
}

/// What was seen in one reading.
#[derive(Default)]
struct Seen {
    sockets: Option<u64>,
    /// Anything odd about it.
    remark: String,
}

impl From<u64> for Seen {
    fn from(sockets: u64) -> Self {
        Self {
            sockets: Some(sockets),
            remark: String::new(),
        }
    }
}

/// One way to read. What is measured is this process, unless a way says otherwise.
trait Way {
    /// Reads every socket once.
    fn read(&mut self) -> Result<Seen>;

    /// Time the processors have worked for it so far.
    fn cpu(&self) -> Result<Duration> {
        Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
    }

    /// Forgets memory that was had before.
    fn reset_peak(&mut self) -> Result<()> {
        fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory")
    }

    /// The most memory it has had since.
    fn peak_kib(&self) -> Result<u64> {
        peak_kib("self")
    }
}

/// In a process of its own: reads once for each line on stdin, until it ends.
pub fn serve(start: &Start) -> Result<()> {
    child::die_with_parent()?;
    let answer = |line: Result<String>| {
        let line = line.unwrap_or_else(|error| format!("{FAILED}{error:#}"));
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", line.replace('\n', " "))?;
        stdout.flush()
    };
    let mut way = match way(start) {
        Ok(way) => way,
        Err(error) => return Ok(answer(Err(error))?),
    };
    give_back();
    answer(Ok("ready".into()))?;
    while io::stdin().read(&mut [0])? != 0 {
        answer(measure(way.as_mut()).map(|reading| reading.to_string()))?;
    }
    Ok(())
}

/// Gives the kernel what getting ready has freed, so that it does not count as taken for reading: the
/// kernel's types alone are some 60 MB once parsed.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn way(start: &Start) -> Result<Box<dyn Way>> {
    Ok(match start.kind {
        Kind::Walk => Box::new(walk::Walk::load(true, &start.namespaces)?),
        Kind::WalkFull => Box::new(walk::Walk::load(false, &start.namespaces)?),
        Kind::Iterator => Box::new(floor::Floor::load(&start.namespaces)?),
        Kind::Ss => Box::new(ss::Ss { flags: "-tan" }),
        Kind::SsInfo => Box::new(ss::Ss { flags: "-tanoi" }),
        Kind::Proc => Box::new(procfs::Proc),
        Kind::Diag => Box::new(diag::Diag),
        Kind::NodeExporter => Box::new(exporter::Exporter::start(&start.node_exporter)?),
    })
}

fn measure(way: &mut dyn Way) -> Result<Reading> {
    way.reset_peak()?;
    let (began, before) = (Instant::now(), way.cpu()?);
    let seen = way.read()?;
    Ok(Reading {
        wall: began.elapsed(),
        cpu: way.cpu()?.saturating_sub(before),
        peak_kib: way.peak_kib()?,
        seen: seen.sockets,
        remark: seen.remark,
    })
}

/// The most memory a process has had, or `self`.
fn peak_kib(process: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} tells no VmHWM"))
}

/// Reads to the end, and counts the lines for which the first byte speaks.
fn lines(mut input: impl Read, counts: impl Fn(u8) -> bool) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut lines = 0;
    let mut previous = b'\n';
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        for byte in &buffer[..read] {
            lines += u64::from(previous == b'\n' && counts(*byte));
            previous = *byte;
        }
    }
}
