//! A reader seen from the benchmark: a process that reads every socket when it is asked to.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{child::Child, kind::Kind, namespace::Namespace};

/// What a reader's process is started with.
#[derive(clap::Args)]
pub struct Start {
    pub kind: Kind,
    /// node_exporter's program.
    #[arg(long)]
    pub node_exporter: PathBuf,
    /// The network namespaces whose sockets count.
    pub namespaces: Vec<PathBuf>,
}

/// What one reading took.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedRead {
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// The most memory the reading process has had.
    pub peak_kib: u64,
    /// Sockets that were seen, where the reader can tell.
    pub seen: Option<u64>,
    /// What else the reader tells of it.
    pub remark: String,
}

/// How it goes from the process to the benchmark.
impl fmt::Display for TimedRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self
            .seen
            .map_or_else(|| "?".into(), |seen| seen.to_string());
        let (wall, cpu) = (self.wall.as_nanos(), self.cpu.as_nanos());
        write!(f, "{wall} {cpu} {} {seen} {}", self.peak_kib, self.remark)
    }
}

impl FromStr for TimedRead {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().context("too few words");
        Ok(Self {
            wall: Duration::from_nanos(word()?.parse()?),
            cpu: Duration::from_nanos(word()?.parse()?),
            peak_kib: word()?.parse()?,
            seen: word()?.parse().ok(),
            remark: word().unwrap_or_default().to_owned(),
        })
    }
}

/// How a reader's process begins what it could not do.
pub const FAILED: &str = "failed: ";

/// The process.
pub struct ReaderProcess {
    child: Child,
}

impl ReaderProcess {
    /// Starts it in the calling thread's namespace; it gets ready before this returns.
    pub fn start(kind: Kind, namespaces: &[Namespace], node_exporter: &Path) -> Result<Self> {
        let mut args = vec![
            "read".into(),
            "--node-exporter".into(),
            node_exporter.into(),
            PathBuf::from(kind.word()),
        ];
        args.extend(namespaces.iter().map(Namespace::path));
        let mut child = Child::start(args)?;
        answer(&mut child)?;
        Ok(Self { child })
    }

    /// Has it read every socket once.
    pub fn read(&mut self) -> Result<TimedRead> {
        self.child.ask()?;
        let line = answer(&mut self.child)?;
        line.parse()
            .with_context(|| anyhow!("a reader answered {line:?}"))
    }
}

fn answer(child: &mut Child) -> Result<String> {
    let line = child.answer()?;
    if let Some(reason) = line.strip_prefix(FAILED) {
        bail!("{reason}");
    }
    Ok(line)
}
