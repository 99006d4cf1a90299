//! The walk over every TCP socket of every network namespace, through the kernel's own tables.
//!
//! # Invariants
//! No socket is locked, and no run of the program keeps a processor for longer than some 100 µs.

mod accept;
mod convert;
mod outstanding;
pub(super) mod ports;
mod tables;

use std::collections::BTreeMap;

pub use convert::{Converter, hz};
use halfopen_common::{Class, ClassSum, Destination, Net, PortsInUse, Socket, WalkProgress};
use tables::Table;
use zerocopy::FromBytes;

use super::holders::Holders;
use crate::{
    bpf::{
        Error,
        btf::{self, Layout},
        load,
        loaded_object::{Entries, Object},
        maps::mmap_array::MmapArray,
    },
    host::{owners::Owners, privileges},
    options::Options,
};
use halfopen_core::model::connection::Connection;

/// The program that reads a stretch of a table.
const WALK: &str = "walk";
/// The program that hands out the sums and forgets them.
const CLASSES: &str = "take_classes";
/// The same for the ports in use.
const DESTINATIONS: &str = "take_destinations";
/// Sockets read in one run of the program, which the kernel does not preempt: some 100 µs.
const SOCKETS_PER_RUN: u32 = 128;
/// Runs without progress after which the walk gives up.
const MOST_STUCK_RUNS: u32 = 8;

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
    /// The local ports in use by destination, where sums were asked for.
    pub destinations: BTreeMap<Destination, PortsInUse>,
    /// Ports in use whose destination found no room.
    pub unplaced_ports: u64,
    /// Sockets found, the summed ones included.
    pub found: u64,
    /// Chains whose rest was left out since they changed under the reader.
    pub changed_chains: u64,
    /// Sockets that could not be read.
    pub unreadable: u64,
}

/// The loaded programs.
pub struct Walker {
    object: Object,
    progress: MmapArray,
    holders: Holders,
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
        let mut object = load::load_for_walk(layout)?;
        for name in [NETS, WALK, CLASSES, DESTINATIONS] {
            object
                .load_to_run(name)
                .map_err(|reason| Error::Walk { reason })?;
        }
        Ok(Self {
            progress: object.array::<WalkProgress>("WALK", 1)?,
            holders: Holders::new(&layout.kernel),
            object,
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
            // Both, and after a failure too: the next walk adds to whatever stands there.
            let classes = self.object.pairs(CLASSES, Entries::Taken);
            let destinations = self.object.pairs(DESTINATIONS, Entries::Taken);
            walked.classes = classes.map_err(failed)?;
            walked.destinations = destinations.map_err(failed)?;
        }
        done.map(|()| walked)
    }

    /// Every network namespace and what it decides.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn nets(&mut self) -> Result<Vec<Net>, Error> {
        nets(&mut self.object)
    }

    /// Names the processes that hold these sockets, which a walk has just met.
    pub fn name_processes(&mut self, connections: &mut [Connection], owners: &Owners) {
        self.holders.name(&mut self.object, connections, owners);
    }

    fn table(
        &mut self,
        table: &Table,
        request: &Request,
        walked: &mut Walked,
        each: &mut impl FnMut(&Socket),
        between: &mut impl FnMut(),
    ) -> Result<(), Error> {
        let mut progress = WalkProgress {
            base: table.base,
            net_ops: table.net_ops,
            netns: request.netns.unwrap_or(0),
            table: table.kind,
            mask: table.mask,
            limit: SOCKETS_PER_RUN,
            sums: request.sums.into(),
            quiet_jiffies: request.quiet_jiffies,
            ..WalkProgress::default()
        };
        let mut stuck = 0;
        while progress.done == 0 {
            let before = (progress.bucket, progress.skip);
            self.progress.write(&progress);
            let hand = |item: &[u8]| {
                if let Ok(socket) = Socket::ref_from_bytes(item) {
                    each(socket);
                }
            };
            self.object.run(WALK, [0; 2], hand).map_err(failed)?;
            progress = self.progress.read(0);
            walked.found += u64::from(progress.found);
            stuck = if before == (progress.bucket, progress.skip) {
                stuck + 1
            } else {
                0
            };
            if stuck > MOST_STUCK_RUNS {
                return Err(failed(format!(
                    "it does not get past bucket {} of {}",
                    progress.bucket, progress.mask
                )));
            }
            between();
        }
        walked.changed_chains += u64::from(progress.changed_chains);
        walked.unreadable += u64::from(progress.unreadable);
        walked.unplaced_ports += u64::from(progress.unplaced_ports);
        Ok(())
    }
}

/// The program that lists the network namespaces.
pub(crate) const NETS: &str = "nets";

/// Every network namespace and what it decides, by the loaded program [`NETS`].
pub(crate) fn nets(object: &mut Object) -> Result<Vec<Net>, Error> {
    let mut nets = Vec::new();
    let incomplete = object
        .run(NETS, [0; 2], |item| {
            nets.extend(Net::read_from_bytes(item).ok());
        })
        .map_err(failed)?;
    if incomplete != 0 || nets.is_empty() {
        return Err(failed(
            "the list of network namespaces could not be read to its end".into(),
        ));
    }
    Ok(nets)
}

const fn failed(reason: String) -> Error {
    Error::Walk { reason }
}
