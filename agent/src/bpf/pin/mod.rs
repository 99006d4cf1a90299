//! The directory in a BPF file system in which maps and links outlive the agent.
//!
//! # Invariants
//! Only what this agent made is changed or removed, and only maps of its own layout are used.

mod bpffs;
mod error;
pub(crate) mod takeover;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    mem::size_of,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::maps::{Array, Map, MapData, MapInfo};
use halfopen_common::{
    EventRecord, GroupCounts, GroupKey, IgnoredDeaths, ListenerKey, Listeners, Loss, NetCounts,
    NetKey, Record, RequestTimer, SilenceTable, Start, TimerContext, layout, switch,
};
use tracing::warn;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use error::PinError;
use error::PinError as Error;

use super::{maps::Wire, maps::mmap_array::MmapArray};
use crate::options::Options;

/// One map that outlives the agent: its name, and the bytes of a key and of a value.
type Kept = (&'static str, usize, usize);

/// All of them: what the hooks write and read, and what agents leave to each other.
const MAPS: [Kept; 12] = [
    ("SOCKETS", 8, size_of::<Record>()),
    ("GROUPS", size_of::<GroupKey>(), size_of::<GroupCounts>()),
    ("NETS", size_of::<NetKey>(), size_of::<NetCounts>()),
    ("LOSSES", 4, 8),
    ("SWITCHES", 4, 8),
    ("TIMER_CONTEXTS", 4, size_of::<TimerContext>()),
    ("REQUEST_TIMERS", 4, size_of::<RequestTimer>()),
    ("EVENTS", 0, 0),
    ("START_TIMES", 8, size_of::<Start>()),
    (
        "LISTENERS",
        size_of::<ListenerKey>(),
        size_of::<Listeners>(),
    ),
    ("SILENCES", 4, size_of::<SilenceTable>()),
    ("IGNORED", size_of::<GroupKey>(), size_of::<IgnoredDeaths>()),
];

/// What is in the directory: maps, one directory of links a generation, and by whom.
const MAPS_DIRECTORY: &str = "maps";
const LINKS: &str = "links-";
const STATE: &str = "state";

/// Who made the pins: the value of the array `state`. Its first word and its place are the same for
/// every layout there will be.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct PinState {
    /// [`layout::LAYOUT`].
    layout: u32,
    /// Size of a [`EventRecord`]: the maps do not tell.
    event_bytes: u32,
    /// The version that made them, filled up with zeros.
    version: [u8; 24],
}

impl PinState {
    fn own() -> Self {
        let mut version = [0; 24];
        for (place, byte) in version.iter_mut().zip(env!("CARGO_PKG_VERSION").bytes()) {
            *place = byte;
        }
        Self {
            layout: layout::LAYOUT,
            event_bytes: u32::try_from(size_of::<EventRecord>()).unwrap_or(u32::MAX),
            version,
        }
    }

    fn version(&self) -> String {
        let text = String::from_utf8_lossy(&self.version);
        text.trim_end_matches('\0').to_owned()
    }
}

/// The pins of a directory, which nobody else uses as long as this lives.
pub struct Pins {
    directory: PathBuf,
    /// The programs that count, 0 if none do.
    active: u32,
    /// Whether what is there is to stay: an agent that does not get so far leaves what it found.
    is_whole: bool,
    _lock: File,
}

impl Pins {
    /// Locks the directory, made if need be, and looks at what is there.
    ///
    /// # Errors
    /// When it cannot be used, or what is there cannot be gone on with.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, Error> {
        bpffs::check(directory)?;
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", directory)(error));
            }
            _ => {}
        }
        let lock = lock(directory)?;
        check_contents(directory)?;
        let mut pins = Self {
            directory: directory.into(),
            active: 0,
            // Until it has been looked at.
            is_whole: true,
            _lock: lock,
        };
        pins.check_layout()?;
        pins.active = pins.find_active();
        if pins.active == 0 {
            pins.is_whole = false;
            clear(directory)?;
            let maps = pins.directory.join(MAPS_DIRECTORY);
            fs::create_dir(&maps).map_err(Error::io("make", &maps))?;
        } else {
            pins.check_maps(options)?;
            pins.is_whole = false;
            pins.remove_links(|generation| generation != pins.active);
        }
        Ok(pins)
    }

    /// The names of the maps that are pinned, and where.
    pub fn maps(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        MAPS.iter().map(|(name, ..)| (*name, self.map(name)))
    }

    /// The generation of programs that would be loaded now.
    pub const fn next(&self) -> u32 {
        match self.active.wrapping_add(1) {
            0 => 1,
            next => next,
        }
    }

    /// Whether there are programs that count.
    pub const fn is_counting(&self) -> bool {
        self.active != 0
    }

    /// The links of the programs that count, if they are these very programs.
    pub fn counting(&self, identity: u64) -> Option<PathBuf> {
        let links = self.links(self.active, identity);
        (self.is_counting() && links.is_dir()).then_some(links)
    }

    /// Makes the directory for the links of the next generation.
    ///
    /// # Errors
    /// When it cannot be made, or not be noted who made the pins.
    pub fn prepare(&self, identity: u64) -> Result<PathBuf, Error> {
        let links = self.links(self.next(), identity);
        fs::create_dir(&links).map_err(Error::io("make", &links))?;
        let state = self.directory.join(STATE);
        if !state.exists() {
            let refused = |why: String| Error::Pin {
                what: state.clone(),
                why,
            };
            let mut array: Array<MapData, Wire<PinState>> =
                Array::create(1, 0).map_err(|error| refused(error.to_string()))?;
            array
                .set(0, Wire(PinState::own()), 0)
                .map_err(|error| refused(error.to_string()))?;
            array
                .pin(&state)
                .map_err(|error| refused(error.to_string()))?;
        }
        Ok(links)
    }

    /// What is there stays as it is.
    pub const fn go_on(&mut self) {
        self.is_whole = true;
    }

    /// From now on what is there stays; the links of other generations than this go.
    pub fn keep(&mut self, generation: u32) {
        self.active = generation;
        self.is_whole = true;
        self.remove_links(|other| other != generation);
    }

    fn map(&self, name: &str) -> PathBuf {
        self.directory.join(MAPS_DIRECTORY).join(name)
    }

    /// The generation and whose programs they are stand in one name, so that they change at once.
    fn links(&self, generation: u32, identity: u64) -> PathBuf {
        self.directory
            .join(format!("{LINKS}{generation}-{identity:016x}"))
    }

    fn check_layout(&self) -> Result<(), Error> {
        let path = self.directory.join(STATE);
        if !path.exists() {
            return Ok(());
        }
        let own = PinState::own();
        let found = MapData::from_pin(&path)
            .and_then(Map::from_map_data)
            .and_then(Array::<MapData, Wire<PinState>>::try_from)
            .and_then(|array| array.get(&0, 0));
        let found = found.map(|found| found.0);
        match &found {
            Ok(found) if found.layout == own.layout && found.event_bytes == own.event_bytes => {
                Ok(())
            }
            Ok(found) => Err(self.of_another(&format!(
                "of halfopen {}, in layout {}",
                found.version(),
                found.layout
            ))),
            Err(error) => Err(self.of_another(&format!("of an unknown version ({error})"))),
        }
    }

    fn of_another(&self, found: &str) -> Error {
        Error::OtherLayout {
            directory: self.directory.clone(),
            found: found.into(),
        }
    }

    /// The generation that counts; 0 if the directory was not filled to the end.
    fn find_active(&self) -> u32 {
        let word = MapData::from_pin(self.map("SWITCHES"))
            .and_then(Map::from_map_data)
            .ok()
            .and_then(|map| MmapArray::new::<u64>(Some(map), "SWITCHES", 1).ok())
            .map_or(0, |mapped| mapped.read::<u64>(0));
        let active = u32::try_from(word >> switch::GENERATION_SHIFT).unwrap_or(0);
        let has_links = self.generations().any(|(_, other)| other == active);
        let is_whole = self.directory.join(STATE).exists() && has_links;
        if is_whole { active } else { 0 }
    }

    fn check_maps(&self, options: &Options) -> Result<(), Error> {
        for (name, key, value) in MAPS {
            let info = MapInfo::from_pin(self.map(name))
                .map_err(|error| self.of_another(&format!("without {name} ({error})")))?;
            let sizes = (info.key_size() as usize, info.value_size() as usize);
            if sizes != (key, value) {
                return Err(self.of_another(&format!(
                    "in which {name} has {} bytes a key and {} a value, not {key} and {value}",
                    sizes.0, sizes.1
                )));
            }
            let (flag, asked) = match name {
                "SOCKETS" => ("--max-records", options.max_records),
                "GROUPS" => ("--max-kernel-groups", options.max_kernel_groups),
                "LOSSES" => ("the number of losses", Loss::COUNT),
                _ => continue,
            };
            if info.max_entries() != asked {
                return Err(Error::OtherLimit {
                    directory: self.directory.clone(),
                    flag,
                    found: info.max_entries(),
                    asked,
                });
            }
        }
        Ok(())
    }

    /// Every directory of links, and its generation.
    fn generations(&self) -> impl Iterator<Item = (PathBuf, u32)> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        entries.filter_map(Result::ok).filter_map(|entry| {
            let name = entry.file_name();
            let (generation, _) = name.to_str()?.strip_prefix(LINKS)?.split_once('-')?;
            Some((entry.path(), generation.parse().ok()?))
        })
    }

    fn remove_links(&self, is_old: impl Fn(u32) -> bool) {
        let old = self.generations().filter(|(_, other)| is_old(*other));
        for (links, _) in old.collect::<Vec<_>>() {
            if let Err(error) = fs::remove_dir_all(&links) {
                // They do nothing but run: the next agent removes them.
                warn!(%error, path = %links.display(), "links of programs that count no more cannot be removed");
            }
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        if self.active != 0 {
            self.remove_links(|generation| generation != self.active);
        } else if let Err(error) = remove_all(&self.directory) {
            warn!(%error, "what was pinned cannot be removed");
        }
    }
}

/// Removes everything that agents have pinned in a directory, and with it their hooks.
///
/// # Errors
/// When an agent uses it, it holds other things, or it cannot be removed.
pub fn unpin(directory: &Path) -> Result<(), Error> {
    bpffs::check(directory)?;
    let _lock = lock(directory)?;
    check_contents(directory)?;
    remove_all(directory)
}

/// The lock of a directory is the directory's own: whoever has another view of the file system, or is
/// in another network namespace, meets it all the same.
fn lock(directory: &Path) -> Result<File, Error> {
    let opened = File::open(directory).map_err(Error::io("open", directory))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            directory: directory.into(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", directory)(error)),
    }
}

/// Refuses a directory that holds what no agent has pinned.
fn check_contents(directory: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("read", directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != STATE && name != MAPS_DIRECTORY && !name.starts_with(LINKS) {
            return Err(Error::Foreign {
                directory: directory.into(),
                name: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// Removes what is in the directory: hooks first, and last by what the rest is known.
fn clear(directory: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // links-…, maps, state.
    paths.sort();
    for path in paths {
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

fn remove_all(directory: &Path) -> Result<(), Error> {
    clear(directory)?;
    fs::remove_dir(directory).map_err(Error::io("remove", directory))
}
