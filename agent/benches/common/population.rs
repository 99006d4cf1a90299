//! Established loopback sockets, many more than one process may hold.
//!
//! # Invariants
//! The processes that hold them end with the benchmark, and each connection with a reset, which leaves
//! no TIME_WAIT.

use std::{
    fmt, fs,
    io::{self, Read},
    mem,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::PathBuf,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::{
    child::{self, Child},
    namespace::{self, Namespace},
};

/// Descriptors a process takes for sockets where its limit allows as many. Half as many connections
/// are far below the 28,000 ports that a client has towards each address.
const DESCRIPTORS: u64 = 18_000;
/// Descriptors of other use.
const SPARE: u64 = 64;
/// The first listener's address; each has one of its own.
const FIRST_ADDRESS: u32 = 0x7f01_0000;
/// Services that the listeners make up between them.
const FIRST_PORT: u16 = 8_000;
const PORTS: u16 = 16;

/// Where sockets are opened.
#[derive(Debug, Clone)]
struct Place {
    namespace: PathBuf,
    /// The directory of a cgroup, where they are not to be in the benchmark's own.
    cgroup: Option<PathBuf>,
}

/// Connections to one listener in one place.
#[derive(Debug, Clone)]
pub struct Share {
    place: Place,
    address: SocketAddrV4,
    connections: u32,
}

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split(',').collect();
        let [namespace, cgroup, address, connections] = words[..] else {
            bail!("not four words");
        };
        Ok(Self {
            place: Place {
                namespace: namespace.into(),
                cgroup: (!cgroup.is_empty()).then(|| cgroup.into()),
            },
            address: address.parse()?,
            connections: connections.parse()?,
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { namespace, cgroup } = &self.place;
        let (namespace, cgroup) = (
            namespace.display(),
            cgroup.as_deref().unwrap_or("".as_ref()),
        );
        write!(
            f,
            "{namespace},{},{},{}",
            cgroup.display(),
            self.address,
            self.connections
        )
    }
}

/// The sockets, for as long as this lives.
pub struct Population {
    holders: Vec<Child>,
    namespaces: usize,
    cgroups: usize,
    /// Established ones.
    pub sockets: u64,
    /// Those that were connected to.
    pub listeners: u64,
    took: Duration,
}

impl Population {
    /// Opens that many, or one less, spread evenly over the namespaces, over the cgroups with these
    /// directories if there are any, and over so many processes or more.
    pub fn open(
        sockets: u32,
        namespaces: &[Namespace],
        cgroups: &[PathBuf],
        processes: u32,
    ) -> Result<Self> {
        let began = Instant::now();
        let at_once = thread::available_parallelism()?.get();
        let places = places(namespaces, cgroups);
        let descriptors = descriptors(sockets, places.len(), at_once.max(processes as usize));
        let parts = split(sockets / 2, &places, descriptors);
        let mut holders = Vec::new();
        for (number, shares) in parts.iter().enumerate() {
            let shares = shares.iter().map(Share::to_string);
            holders.push(Child::start(["hold".to_owned()].into_iter().chain(shares))?);
            // Only as many work at once as there are processors.
            if let Some(first) = (number + 1).checked_sub(at_once) {
                holders[first].answer().context("opening sockets")?;
            }
        }
        let waiting = holders.len().min(at_once - 1);
        let last = holders.len() - waiting;
        for holder in &mut holders[last..] {
            holder.answer().context("opening sockets")?;
        }
        Ok(Self {
            holders,
            namespaces: namespaces.len(),
            cgroups: cgroups.len(),
            sockets: u64::from(sockets / 2 * 2),
            listeners: parts.iter().map(|shares| shares.len() as u64).sum(),
            took: began.elapsed(),
        })
    }
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sockets, listeners) = (self.sockets, self.listeners);
        let (seconds, processes) = (self.took.as_secs_f64(), self.holders.len());
        match self.namespaces {
            1 => write!(f, "{sockets} sockets in one network namespace")?,
            several => write!(f, "{sockets} sockets in {several} network namespaces")?,
        }
        if self.cgroups > 0 {
            write!(f, ", {} cgroups", self.cgroups)?;
        }
        write!(
            f,
            " and {listeners} listeners, opened in {seconds:.1} s by {processes} processes"
        )
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.holders.iter_mut().for_each(Child::dismiss);
    }
}

/// Each namespace, or each cgroup with the namespaces in turn.
fn places(namespaces: &[Namespace], cgroups: &[PathBuf]) -> Vec<Place> {
    let namespaces: Vec<PathBuf> = namespaces.iter().map(Namespace::path).collect();
    let place = |(namespace, cgroup): (&PathBuf, Option<&PathBuf>)| Place {
        namespace: namespace.clone(),
        cgroup: cgroup.cloned(),
    };
    if cgroups.is_empty() {
        return namespaces.iter().map(|it| place((it, None))).collect();
    }
    let cgroups = cgroups.iter().map(Some);
    namespaces.iter().cycle().zip(cgroups).map(place).collect()
}

/// What each process may open: its limit, or less, so that there are as many processes as asked for.
fn descriptors(sockets: u32, places: usize, processes: usize) -> u64 {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    // A listener in each place, and one more where a place is split between two.
    let listeners = places.div_ceil(processes) as u64 + 1;
    let even = u64::from(sockets).div_ceil(processes as u64) + listeners;
    limit
        .saturating_sub(SPARE)
        .min(DESCRIPTORS)
        .min(even)
        .max(3)
}

/// What each process is to hold.
fn split(connections: u32, places: &[Place], descriptors: u64) -> Vec<Vec<Share>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut left = descriptors;
    let mut address = FIRST_ADDRESS;
    let mut ports = (FIRST_PORT..FIRST_PORT + PORTS).cycle();
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    for (number, place) in (0_u32..).zip(places) {
        let mut connections = connections / count + u32::from(number < connections % count);
        while connections > 0 {
            // A listener and two ends.
            if left < 3 {
                parts.push(mem::take(&mut part));
                left = descriptors;
            }
            let room = u32::try_from((left - 1) / 2).unwrap_or(u32::MAX);
            let share = Share {
                place: place.clone(),
                address: SocketAddrV4::new(
                    Ipv4Addr::from_bits(address),
                    ports.next().unwrap_or(FIRST_PORT),
                ),
                connections: connections.min(room),
            };
            address += 1;
            connections -= share.connections;
            left -= u64::from(share.connections) * 2 + 1;
            part.push(share);
        }
    }
    parts.push(part);
    parts
}

/// In a process of its own: opens the connections, says so, and holds them until stdin ends.
pub fn hold(shares: &[Share]) -> Result<()> {
    child::die_with_parent()?;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")?;
    let mut held = Vec::new();
    for share in shares {
        held.push(open(share).with_context(|| format!("opening {share}"))?);
    }
    println!("open");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn open(share: &Share) -> Result<(TcpListener, Vec<(TcpStream, TcpStream)>)> {
    let Place { namespace, cgroup } = &share.place;
    if let Some(cgroup) = cgroup {
        // Both ends are in the cgroup that the process is in now: what is accepted is in its
        // listener's.
        let list = cgroup.join("cgroup.procs");
        fs::write(&list, "0").with_context(|| format!("moving to {}", cgroup.display()))?;
    }
    namespace::enter(namespace)?;
    let listener = TcpListener::bind(share.address).context("listening")?;
    // What is accepted inherits it.
    SockRef::from(&listener).set_linger(Some(Duration::ZERO))?;
    let connection = |_| {
        let client = TcpStream::connect(share.address).context("connecting")?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        Ok((client, listener.accept().context("accepting")?.0))
    };
    let connections = (0..share.connections).map(connection);
    let connections = connections.collect::<Result<_>>()?;
    Ok((listener, connections))
}
