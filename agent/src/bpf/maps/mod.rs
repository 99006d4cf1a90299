//! Typed access to the maps, by the types both sides share.

#![allow(
    unsafe_code,
    reason = "the one wrapper by which aya reads and writes shared types"
)]

pub(crate) mod event_buffer;
pub(crate) mod ignored;
pub(crate) mod mmap_array;
pub(crate) mod ring_positions;
mod shared_words;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Pod,
    maps::{HashMap, MapData, MapError},
};
use halfopen_common::{
    Ending, GroupCounts, GroupKey, ListenerKey, Listeners, Loss, NetCounts, NetKey, Record,
    SilenceTable, Silences, switch,
};
use tracing::warn;
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use super::{
    Error,
    loaded_object::{Entries, Object},
    maps::mmap_array::MmapArray,
};

/// A shared type as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Wire<T>(pub T);

// SAFETY: T is plain bytes without padding (`IntoBytes`), valid whatever they are (`FromBytes`),
// without interior mutability (`Immutable`), and `Wire` is transparent.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Pod for Wire<T> {}

/// The maps the agent reads and writes. What is read again and again is read without system calls: see
/// [`Handed`] and [`MmapArray`].
pub struct Maps {
    sockets: HashMap<MapData, u64, Wire<Record>>,
    groups: HashMap<MapData, Wire<GroupKey>, Wire<GroupCounts>>,
    nets: HashMap<MapData, Wire<NetKey>, Wire<NetCounts>>,
    listeners: HashMap<MapData, Wire<ListenerKey>, Wire<Listeners>>,
    silences: MmapArray,
    losses: Losses,
    switches: Switches,
}

/// The programs that hand out whole maps.
const GROUPS: &str = "dump_groups";
const NETS: &str = "dump_counted_nets";

/// The switches in their word, [`switch::WATCHED`] among them; above them stands the generation.
const SWITCHES: u64 = (1 << switch::GENERATION_SHIFT) - 1;
const WATCHED: u64 = switch::WATCHED as u64;

/// What was lost, for all who need to know.
#[derive(Clone)]
pub struct Losses(Arc<MmapArray>);

impl Losses {
    /// One loss, counted since start.
    pub fn of(&self, loss: Loss) -> u64 {
        self.0.read(loss as usize)
    }
}

/// What shared programs count, and whether every event is told.
#[derive(Clone)]
pub struct Switches(Arc<Mutex<Bits>>);

struct Bits {
    map: MmapArray,
    set: u64,
}

impl Switches {
    /// One word is written: whoever reads it sees all of the change, or nothing.
    fn change(&self, change: impl FnOnce(u64) -> u64) {
        let mut bits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let set = change(bits.set);
        if set != bits.set {
            bits.map.write(&set);
            bits.set = set;
        }
    }

    /// What is set now, the generation apart.
    pub fn bits(&self) -> u32 {
        let bits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (bits.set & SWITCHES) as u32
    }

    /// Says whether every event is to be told, or deaths alone.
    pub fn set_watched(&self, watched: bool) {
        self.change(|bits| {
            if watched {
                bits | WATCHED
            } else {
                bits & !WATCHED
            }
        });
    }
}

/// Makes an entry, unless it is there already.
fn make<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: K,
    value: V,
) -> Result<(), Error> {
    const BPF_NOEXIST: u64 = 1;
    match map.insert(key, value, BPF_NOEXIST) {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::AlreadyExists => {
            Ok(())
        }
        result => result.map_err(|source| Error::Map { name, source }),
    }
}

impl Maps {
    /// Takes them out of the loaded object and makes the two entries that take overflow.
    pub fn take(object: &mut Object) -> Result<Self, Error> {
        let switches = object.array::<u64>("SWITCHES", 1)?;
        let mut maps = Self {
            sockets: object.map("SOCKETS")?,
            groups: object.map("GROUPS")?,
            nets: object.map("NETS")?,
            listeners: object.map("LISTENERS")?,
            silences: object.array::<SilenceTable>("SILENCES", 1)?,
            losses: Losses(Arc::new(
                object.array::<u64>("LOSSES", Loss::COUNT as usize)?,
            )),
            switches: Switches(Arc::new(Mutex::new(Bits {
                set: switches.read(0),
                map: switches,
            }))),
        };
        for name in [GROUPS, NETS] {
            object
                .load_to_run(name)
                .map_err(|reason| Error::Unreadable { name, reason })?;
        }
        let none = Wire(GroupCounts::new_zeroed());
        make(&mut maps.groups, "GROUPS", Wire(GroupKey::OVERFLOW), none)?;
        let none = Wire(NetCounts::default());
        make(&mut maps.nets, "NETS", Wire(NetKey::new_zeroed()), none)?;
        Ok(maps)
    }

    /// Says what shared programs count.
    pub fn set_switches(&self, count: u32) {
        let kept = WATCHED | !SWITCHES;
        self.switches.change(|bits| bits & kept | u64::from(count));
    }

    /// Says which programs count, and what of it shared ones: from here on, and no others.
    pub fn activate(&self, generation: u32, count: u32) {
        let generation = u64::from(generation) << switch::GENERATION_SHIFT;
        let change = |bits| generation | bits & WATCHED | u64::from(count);
        self.switches.change(change);
    }

    /// For those who switch events on.
    pub fn switches(&self) -> Switches {
        self.switches.clone()
    }

    /// For those who tell of losses.
    pub fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Silences before deaths on each path.
    pub fn silences(&self) -> impl Iterator<Item = (Ending, Silences)> + use<> {
        let table: SilenceTable = self.silences.read(0);
        Ending::ALL
            .into_iter()
            .map(move |ending| (ending, table.0[ending as usize]))
    }

    /// Every group and its counts; `None`, having said so, when the kernel would not hand them out.
    pub fn groups(object: &mut Object) -> Option<BTreeMap<GroupKey, GroupCounts>> {
        Self::pairs(object, GROUPS)
    }

    /// Every network namespace and its counts; `None` as of [`Self::groups`].
    pub fn nets(object: &mut Object) -> Option<BTreeMap<NetKey, NetCounts>> {
        Self::pairs(object, NETS)
    }

    fn pairs<K, V>(object: &mut Object, name: &str) -> Option<BTreeMap<K, V>>
    where
        K: FromBytes + KnownLayout + Immutable + Ord + Copy,
        V: FromBytes + KnownLayout + Immutable,
    {
        let pairs = object.pairs(name, Entries::Kept);
        let report = |error: &_| {
            warn!(%error, program = name, "the hooks' counters cannot be read: the last ones stand");
        };
        pairs.inspect_err(report).ok()
    }

    /// Every record, by the address of its socket: by system calls, for those who compare.
    pub fn records(&self) -> BTreeMap<u64, Record> {
        // A map that changes while it is read may come round again.
        let records = self.sockets.iter().filter_map(Result::ok);
        records.map(|(sock, record)| (sock, record.0)).collect()
    }

    /// Takes a group out of the kernel's table; its counts at the last moment.
    pub fn forget_group(&mut self, key: &GroupKey) -> Option<GroupCounts> {
        let key = Wire(*key);
        let counts = self.groups.get(&key, 0).ok()?;
        self.groups.remove(&key).ok().map(|()| counts.0)
    }

    /// Notes sockets that listen, unless the hooks know of the place.
    pub fn note_listeners(&mut self, key: ListenerKey, listeners: Listeners) {
        // Without room the hooks say so for every further one.
        let _ = make(&mut self.listeners, "LISTENERS", Wire(key), Wire(listeners));
    }

    /// Forgets a namespace that is gone.
    pub fn forget_net(&mut self, key: &NetKey) {
        // Gone already is as good.
        let _ = self.nets.remove(&Wire(*key));
    }
}
