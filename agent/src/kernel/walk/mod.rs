//! The walk over every TCP socket of every network namespace, through the kernel's own tables.
//! It must never hold a socket's lock, nor keep a processor from other tasks for longer than one
//! short run of the program.

mod convert;
mod tables;

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, RingBuf},
};
pub use convert::{Converter, hz};
use halfopen_common::{Class, ClassSum, Net, Socket, Walk};
use tables::Table;
use zerocopy::FromBytes;

use super::{
    Error, Options,
    btf::{self, Layout},
    maps::{self, Wire},
    object, privileges, programs,
};

/// The program that reads a stretch of a table.
const WALK: &str = "walk";
/// Sockets read in one run of the program, which the kernel does not preempt: some 100 µs.
const SOCKETS_PER_RUN: u32 = 128;
/// Runs without progress after which the walk gives up.
const PATIENCE: u32 = 8;

/// What a walk is to bring.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Whether established sockets with nothing outstanding are summed by class, not brought.
    pub sums: bool,
    /// Without data either way for this many jiffies, a summed socket counts as quiet.
    pub quiet_jiffies: u32,
    /// Only sockets of the network namespace with this inode number.
    pub netns: Option<u32>,
}

/// What a walk brought beside the sockets.
#[derive(Debug, Default)]
pub struct Walked {
    /// Established sockets with nothing outstanding, where asked for.
    pub classes: BTreeMap<Class, ClassSum>,
    /// Sockets found, the summed ones included.
    pub found: u64,
    /// Chains whose rest was left out since they changed under the reader.
    pub torn: u64,
    /// Sockets that could not be read.
    pub unreadable: u64,
}

/// The loaded programs.
pub struct Walker {
    ebpf: Ebpf,
    progress: Array<MapData, Wire<Walk>>,
    classes: HashMap<MapData, Wire<Class>, Wire<ClassSum>>,
    walked: RingBuf<MapData>,
}

impl Walker {
    /// Loads the programs; nothing is attached.
    ///
    /// # Errors
    /// When a privilege or kernel feature is missing.
    pub fn load(options: &Options) -> Result<Self, Error> {
        privileges::check()?;
        Self::load_for(&btf::read(&options.btf)?)
    }

    /// The same where the kernel's layout is known already.
    pub(super) fn load_for(layout: &Layout) -> Result<Self, Error> {
        let mut ebpf = object::load_for_walk(layout)?;
        for name in [NETS, WALK] {
            programs::load_to_run(&mut ebpf, name).map_err(|reason| Error::Walk { reason })?;
        }
        Ok(Self {
            progress: maps::take(&mut ebpf, "WALK")?,
            classes: maps::take(&mut ebpf, "CLASSES")?,
            walked: maps::take(&mut ebpf, "WALKED")?,
            ebpf,
        })
    }

    /// Walks once over the tables of these namespaces, which [`Self::nets`] tells; `each` gets the
    /// sockets one by one, and `between` is called between short runs.
    ///
    /// # Errors
    /// When the kernel refuses, or the walk does not come to an end.
    pub fn walk(
        &mut self,
        nets: &[Net],
        request: &Request,
        mut each: impl FnMut(&Socket),
        mut between: impl FnMut(),
    ) -> Result<Walked, Error> {
        let mut walked = Walked::default();
        let done = tables::of(nets)
            .iter()
            .try_for_each(|table| self.table(table, request, &mut walked, &mut each, &mut between));
        if request.sums {
            // After a failure too: the next walk adds to whatever stands there.
            walked.classes = self.take_classes();
        }
        done.map(|()| walked)
    }

    /// Every network namespace and what it decides.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn nets(&mut self) -> Result<Vec<Net>, Error> {
        nets(&self.ebpf, &mut self.walked)
    }

    fn table(
        &mut self,
        table: &Table,
        request: &Request,
        walked: &mut Walked,
        each: &mut impl FnMut(&Socket),
        between: &mut impl FnMut(),
    ) -> Result<(), Error> {
        let mut progress = Walk {
            base: table.base,
            net_ops: table.net_ops,
            netns: request.netns.unwrap_or(0),
            table: table.kind,
            mask: table.mask,
            limit: SOCKETS_PER_RUN,
            sums: request.sums.into(),
            quiet_jiffies: request.quiet_jiffies,
            ..Walk::default()
        };
        let mut stuck = 0;
        while progress.done == 0 {
            let before = (progress.bucket, progress.skip);
            self.progress
                .set(0, Wire(progress), 0)
                .map_err(|source| Error::Map {
                    name: "WALK",
                    source,
                })?;
            run(&self.ebpf, WALK)?;
            progress = self
                .progress
                .get(&0, 0)
                .map_err(|source| Error::Map {
                    name: "WALK",
                    source,
                })?
                .0;
            while let Some(item) = self.walked.next() {
                if let Ok(socket) = Socket::ref_from_bytes(&item) {
                    each(socket);
                }
            }
            walked.found += u64::from(progress.found);
            stuck = if before == (progress.bucket, progress.skip) {
                stuck + 1
            } else {
                0
            };
            if stuck > PATIENCE {
                return Err(Error::Walk {
                    reason: format!(
                        "it does not get past bucket {} of {}",
                        progress.bucket, progress.mask
                    ),
                });
            }
            between();
        }
        walked.torn += u64::from(progress.torn);
        walked.unreadable += u64::from(progress.unreadable);
        Ok(())
    }

    fn take_classes(&mut self) -> BTreeMap<Class, ClassSum> {
        let read = self.classes.iter().filter_map(Result::ok);
        let classes: BTreeMap<Class, ClassSum> =
            read.map(|(class, sum)| (class.0, sum.0)).collect();
        for class in classes.keys() {
            // Only this walk makes them: it is there.
            let _ = self.classes.remove(&Wire(*class));
        }
        classes
    }
}

/// The program that lists the network namespaces.
pub(super) const NETS: &str = "nets";

/// Every network namespace and what it decides, by the loaded program [`NETS`] and the ring buffer
/// through which it hands them out.
pub(super) fn nets(ebpf: &Ebpf, walked: &mut RingBuf<MapData>) -> Result<Vec<Net>, Error> {
    let incomplete = run(ebpf, NETS)?;
    let mut nets = Vec::new();
    while let Some(item) = walked.next() {
        nets.extend(Net::read_from_bytes(&item).ok());
    }
    if incomplete != 0 || nets.is_empty() {
        return Err(Error::Walk {
            reason: "the list of network namespaces could not be read to its end".into(),
        });
    }
    Ok(nets)
}

fn run(ebpf: &Ebpf, name: &str) -> Result<u32, Error> {
    programs::run(ebpf, name, 0).map_err(|reason| Error::Walk { reason })
}
