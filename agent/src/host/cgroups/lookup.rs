//! Cgroups by the id that their sockets carry.
//!
//! # Invariants
//! A cgroup that was looked up stays known after it is removed: its sockets outlive it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Error, hierarchy::Hierarchy, tree};
use crate::host::cgroups::handle;
use halfopen_core::model::owner::Owner;

#[cfg(test)]
mod tests;

/// Cgroups that are remembered at least. A node of Kubernetes has some thousands at a time; one
/// takes less than a kilobyte.
pub const LEAST_CAPACITY: usize = 8_192;

/// The least time between two walks over the tree.
const FRESH: Duration = Duration::from_secs(1);
/// A walk is paid off after this many times its own duration: 1 % of one processor.
const PACE: u32 = 100;

/// A cgroup, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its path from the root of cgroups, as far up as this process is shown them: bytes that whoever
    /// made it chose. [`Owner::name`] is what is safe to show.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: Owner,
}

/// Why a cgroup's path is not known. It is never the root instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// The kernel has told no id: it is 0.
    NoId,
    /// It had been removed when it was first asked for. An id that never was is not told from that.
    Gone,
    /// It is not below the mount: this process runs in a cgroup namespace of its own, or only a part
    /// was given to it.
    Outside,
    /// It was made after the latest walk over the tree, and it is not time for another.
    NotYet,
    /// The kernel refuses to tell, for the reason of this errno.
    Refused(i32),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId => f.write_str("the kernel tells no cgroup"),
            Self::Gone => f.write_str("its cgroup was gone before it was looked at"),
            Self::Outside => f.write_str("its cgroup is outside what is shown here of cgroups"),
            Self::NotYet => f.write_str("its cgroup has not been looked for yet"),
            Self::Refused(errno) => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "its cgroup cannot be looked at: {error}")
            }
        }
    }
}

/// How ids become paths.
#[derive(Debug)]
enum Way {
    /// Each by itself, by its handle.
    Handles,
    /// All at once, by a walk over the tree.
    Walk {
        /// Why not by handles.
        why: io::Error,
        /// When the tree may be walked again; `None` before the first time.
        next: Option<Instant>,
    },
}

/// What [`Cgroups::follow`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The mount of before.
    Same,
    /// Another, in which cgroups have the paths of before.
    OtherMount,
    /// Another, from which paths begin elsewhere.
    OtherPaths,
}

#[derive(Debug)]
struct Remembered {
    cgroup: Arc<Cgroup>,
    /// The count of questions when it was last asked for; 0 for never.
    asked: u64,
}

/// Cgroups by id.
///
/// An id is that of the node in kernfs, 64 bits wide, and is not used again while the kernel runs:
/// the low half goes round, and the high half counts the rounds (__kernfs_new_node() in
/// fs/kernfs/dir.c, Linux 5.5+). A cgroup of v2 keeps its name for life: rename(2) is v1's alone
/// (cgroup1_rename() in kernel/cgroup/cgroup-v1.c). What was once found therefore holds, for a
/// cgroup that is gone too, and is not looked up again.
///
/// Those asked for longest ago are forgotten when there are too many: where containers come and go,
/// there is no end to ids.
#[derive(Debug)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    /// The root of the hierarchy, of which handles are opened. It keeps the mount busy.
    root: File,
    way: Way,
    known: HashMap<u64, Remembered>,
    capacity: usize,
    questions: u64,
}

impl Cgroups {
    /// Those of this host, of which this many, [`LEAST_CAPACITY`] at least, are remembered. It should
    /// be more than are asked about again and again.
    ///
    /// # Errors
    /// When there is no hierarchy of v2 (then a socket's process is all that can tell its owner), or
    /// it cannot be opened.
    pub fn open(capacity: usize) -> Result<Self, Error> {
        Self::below(Hierarchy::find()?, capacity)
    }

    fn below(hierarchy: Hierarchy, capacity: usize) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable {
            path: hierarchy.point.clone(),
            source,
        };
        let root = File::open(&hierarchy.point).map_err(unreadable)?;
        let own = root.metadata().map_err(unreadable)?.ino();
        let way = match handle::open_cgroup(root.as_fd(), own) {
            Ok(_) => Way::Handles,
            Err(why) => Way::Walk { why, next: None },
        };
        Ok(Self {
            hierarchy,
            root,
            way,
            known: HashMap::new(),
            capacity: capacity.max(LEAST_CAPACITY),
            questions: 0,
        })
    }

    /// Goes over to the mount that shows most now, after mounts have changed. What was known before stays known
    /// if paths begin at the same cgroup as before.
    ///
    /// # Errors
    /// When there is none any more, or it cannot be opened.
    pub fn follow(&mut self) -> Result<Followed, Error> {
        let found = Hierarchy::find()?;
        if found == self.hierarchy {
            return Ok(Followed::Same);
        }
        let now = Self::below(found, self.capacity)?;
        let before = std::mem::replace(self, now);
        let view = |of: &Hierarchy| (of.part.clone(), of.whole);
        if view(&before.hierarchy) != view(&self.hierarchy) {
            return Ok(Followed::OtherPaths);
        }
        self.known = before.known;
        self.questions = before.questions;
        Ok(Followed::OtherMount)
    }

    /// Where cgroups are mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.hierarchy.point
    }

    /// Whether the whole hierarchy is shown here; else sockets of others have no owner.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.hierarchy.whole
    }

    /// Why cgroups cannot be opened by their id, and the tree is walked instead (open_by_handle_at(2)
    /// takes CAP_DAC_READ_SEARCH): what is removed between two walks is then never known. `None` if
    /// they can.
    #[must_use]
    pub const fn refusal(&self) -> Option<&io::Error> {
        match &self.way {
            Way::Handles => None,
            Way::Walk { why, .. } => Some(why),
        }
    }

    /// The cgroup with this id. What was told once is told again, when the cgroup is gone too.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn look_up(&mut self, id: u64, now: Instant) -> Result<Arc<Cgroup>, Unknown> {
        if id == 0 {
            return Err(Unknown::NoId);
        }
        self.questions += 1;
        if let Some(known) = self.known.get_mut(&id) {
            known.asked = self.questions;
            return Ok(Arc::clone(&known.cgroup));
        }
        if matches!(self.way, Way::Handles) {
            match handle::open_cgroup(self.root.as_fd(), id) {
                Ok(directory) => {
                    let path = self.path_of(id, &directory)?;
                    return Ok(self.remember(id, path, self.questions));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ESTALE) => return Err(Unknown::Gone),
                    // Privileges given up since, or taken by a filter of system calls.
                    Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
                        self.way = Way::Walk {
                            why: error,
                            next: None,
                        };
                    }
                    errno => return Err(Unknown::Refused(errno.unwrap_or_default())),
                },
            }
        }
        self.look_around(id, now)
    }

    /// Whether there is any cgroup but the root: on a host that runs on v1, that of v2 may be mounted
    /// and unused.
    #[must_use]
    pub fn is_used(&self) -> bool {
        let is_directory = |entry: fs::DirEntry| entry.file_type().is_ok_and(|it| it.is_dir());
        fs::read_dir(&self.hierarchy.point)
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_directory)))
    }

    /// Whether a cgroup that was told still exists. By its path: its id still opens it after it was
    /// removed, for as long as a socket refers to it.
    #[must_use]
    pub fn is_there(&self, id: u64, cgroup: &Cgroup) -> bool {
        self.hierarchy
            .directory_of(&cgroup.path)
            .and_then(|directory| fs::symlink_metadata(directory).ok())
            .is_some_and(|data| data.ino() == id)
    }

    /// The path of an open directory of cgroups.
    fn path_of(&self, id: u64, directory: &OwnedFd) -> Result<PathBuf, Unknown> {
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let refused = |error: io::Error| Unknown::Refused(error.raw_os_error().unwrap_or_default());
        let mut path = fs::read_link(link).map_err(refused)?;
        // Removed since it was opened, unless that is its very name (d_path() in fs/d_path.c).
        let removed = path.as_os_str().as_bytes().strip_suffix(b" (deleted)");
        if let Some(named) = removed
            && fs::symlink_metadata(&path).map_or(true, |data| data.ino() != id)
        {
            path = Path::new(OsStr::from_bytes(named)).to_owned();
        }
        self.hierarchy.path_of(&path).ok_or(Unknown::Outside)
    }

    /// Walks over the tree, if it is time, and remembers what it meets.
    fn look_around(&mut self, id: u64, now: Instant) -> Result<Arc<Cgroup>, Unknown> {
        let Way::Walk { next, .. } = &mut self.way else {
            return Err(Unknown::NotYet);
        };
        if next.is_some_and(|next| now < next) {
            return Err(Unknown::NotYet);
        }
        let began = Instant::now();
        let mut met = Vec::new();
        let top = self
            .root
            .metadata()
            .map(|data| data.ino())
            .unwrap_or_default();
        met.push((top, self.hierarchy.path_of(&self.hierarchy.point)));
        tree::walk(&self.hierarchy.point, |id, directory| {
            met.push((id, self.hierarchy.path_of(directory)));
        });
        *next = Some(now + FRESH.max(began.elapsed() * PACE));
        let mut found = None;
        for (met, path) in met {
            if met == id {
                let path = path.ok_or(Unknown::Outside)?;
                found = Some(self.remember(id, path, self.questions));
            } else if let Some(path) = path
                // Those that nobody has asked for drive out none that were.
                && self.known.len() < self.capacity
                && !self.known.contains_key(&met)
            {
                self.remember(met, path, 0);
            }
        }
        found.ok_or(if self.hierarchy.whole {
            Unknown::Gone
        } else {
            Unknown::Outside
        })
    }

    fn remember(&mut self, id: u64, path: PathBuf, asked: u64) -> Arc<Cgroup> {
        if self.known.len() >= self.capacity {
            self.forget();
        }
        let cgroup = Arc::new(Cgroup {
            owner: Owner::of_path(path.as_os_str().as_bytes()),
            path,
        });
        let remembered = Remembered {
            cgroup: Arc::clone(&cgroup),
            asked,
        };
        self.known.insert(id, remembered);
        cgroup
    }

    /// Forgets the quarter that was asked for longest ago, so that it is seldom done.
    fn forget(&mut self) {
        let mut asked: Vec<u64> = self.known.values().map(|known| known.asked).collect();
        let quarter = asked.len() / 4;
        let (_, latest, _) = asked.select_nth_unstable(quarter);
        let latest = *latest;
        self.known.retain(|_, known| known.asked > latest);
    }
}
