//! Our own walk.
//!
//! # Invariants
//! Only sockets in the benchmark's namespaces count.

use std::path::PathBuf;

use anyhow::{Context, Result};
use halfopen::{
    options::Options,
    sockets::walk::{Request, Walker},
};

use super::way::{SocketsSeen, Way};
use crate::namespace;

/// The kernel counts time in these since the Pentium; the exact length does not matter here.
const QUIET_JIFFIES: u32 = 75_000;

/// The loaded walk.
pub struct WalkReader {
    walker: Walker,
    request: Request,
    counted: Counted,
}

impl WalkReader {
    /// Loads it; `sums` as in [`Request`].
    pub fn load(sums: bool, namespaces: &[PathBuf]) -> Result<Self> {
        let request = Request {
            sums,
            quiet_jiffies: QUIET_JIFFIES,
            netns: None,
        };
        Ok(Self {
            walker: Walker::load(&Options::default()).context("loading the walk")?,
            request,
            counted: Counted::new(namespaces)?,
        })
    }
}

impl Way for WalkReader {
    fn read(&mut self) -> Result<SocketsSeen> {
        let Self {
            walker,
            request,
            counted,
        } = self;
        let mut sockets = 0;
        let count = |socket: &halfopen_common::Socket| {
            sockets += u64::from(counted.has(socket.net.inum));
        };
        let nets = walker.nets().context("listing network namespaces")?;
        let walked = walker.walk(&nets, request, count, || {});
        let walked = walked.context("walking")?;
        for (class, sum) in &walked.classes {
            if counted.has(class.netns) {
                sockets += sum.sockets;
            }
        }
        let elsewhere = walked.found.saturating_sub(sockets);
        let mut remarks = Vec::new();
        for (number, what) in [
            (walked.changed_chains, "chains changed"),
            (walked.unreadable, "unreadable"),
            // A few are the machine's own.
            (
                elsewhere * u64::from(elsewhere > sockets / 100),
                "elsewhere",
            ),
        ] {
            if number > 0 {
                remarks.push(format!("{number} {what}"));
            }
        }
        Ok(SocketsSeen {
            sockets: Some(sockets),
            remark: remarks.join(", "),
        })
    }
}

/// Inode numbers of namespaces, which lie close together: a look-up that costs next to nothing.
struct Counted {
    first: u32,
    has: Vec<bool>,
}

impl Counted {
    fn new(namespaces: &[PathBuf]) -> Result<Self> {
        let inodes = namespaces.iter().map(|path| namespace::inode(path));
        let inodes: Vec<u32> = inodes.collect::<Result<_>>()?;
        let first = inodes.iter().copied().min().unwrap_or(0);
        let mut has = Vec::new();
        for inode in inodes {
            let place = usize::try_from(inode - first)?;
            has.resize(has.len().max(place + 1), false);
            has[place] = true;
        }
        Ok(Self { first, has })
    }

    fn has(&self, inode: u32) -> bool {
        let place = usize::try_from(inode.wrapping_sub(self.first));
        place.is_ok_and(|place| self.has.get(place) == Some(&true))
    }
}
