//! Whose a socket is, by the id of its cgroup: asked by all who read sockets.
//!
//! # Invariants
//! A cgroup that cannot be resolved is unknown, not the root.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    cgroups::{self, Cgroup, Cgroups, Followed},
    kubernetes::{self, Names},
    mounts::Watch,
};
use crate::options::Options;
use halfopen_core::model::{
    connection::{Known, Unknown},
    owner::Owner,
};

/// Which owners still exist is looked up this often; whether cgroups can be opened that could not, too.
const CENSUS: Duration = Duration::from_secs(30);

/// The least time between two looks at whether mounts have changed.
const LOOK: Duration = Duration::from_secs(1);
/// A look that found a change is paid off after this many times its own duration: 1 % of one processor.
const PACE: u32 = 100;

/// Tells owners; cheap to clone.
#[derive(Clone)]
pub struct Owners(Arc<Mutex<Inner>>);

struct Inner {
    cgroups: Result<Cgroups, Unknown>,
    /// How many of them are to be remembered.
    capacity: usize,
    /// Notices that cgroups may be mounted elsewhere by now; `None` where /proc does not tell.
    mounts: Option<Watch>,
    /// When that is looked at next.
    next: Instant,
    /// When cgroups that cannot be opened are tried again, and all are where changes are not noticed.
    retry: Instant,
    /// How often other cgroups have come to be shown here.
    views: u64,
    names: Option<Names>,
    /// Cgroups that were asked for and exist, by id.
    met: HashMap<u64, Met>,
    looked: Option<Instant>,
}

struct Met {
    name: Arc<str>,
    cgroup: Arc<Cgroup>,
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

impl Owners {
    /// Those of this host, as the options ask.
    #[must_use]
    pub fn for_options(options: &Options) -> Self {
        // A group in the kernel's table is one of a cgroup; idle sockets have others.
        let cgroups = usize::try_from(options.max_kernel_groups).unwrap_or(usize::MAX);
        Self::open(cgroups.saturating_mul(2), options.kubernetes_names)
    }

    /// Those of this host, of whose cgroups so many are asked for again and again. With `kubernetes`,
    /// containers and pods are called by the names that the kubelet's directories of logs give them.
    #[must_use]
    pub fn open(cgroups: usize, kubernetes: bool) -> Self {
        // Before mounts are read: what comes in between is noticed.
        let mounts = Watch::open()
            .inspect_err(|error| warn!(%error, "changes of mounts are not noticed at once"))
            .ok();
        let opened = open(cgroups).map_err(|error| {
            warn!(%error, "owners of connections are unknown");
            reason(&error)
        });
        let names = kubernetes.then(|| Names::read(Path::new(kubernetes::LOGS), Instant::now()));
        let names = names.and_then(|names| {
            let report = |error: &_| warn!(%error, "the names of pods and containers are unknown");
            names.inspect_err(report).ok()
        });
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Inner {
            cgroups: opened,
            capacity: cgroups,
            mounts,
            next: now + LOOK,
            retry: now + CENSUS,
            views: 0,
            names,
            met: HashMap::new(),
            looked: None,
        })))
    }

    /// The name of the owner of the sockets that carry this cgroup's id.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn of(&self, cgroup: Known<u64>) -> Known<Arc<str>> {
        let id = cgroup?;
        let mut inner = self.lock();
        if let Some(met) = inner.met.get(&id) {
            return Ok(Arc::clone(&met.name));
        }
        inner.follow(Instant::now());
        let cgroup = inner.cgroups.as_mut().map_err(|why| *why)?;
        let cgroup = cgroup.look_up(id, Instant::now()).map_err(why)?;
        let name = inner.name(&cgroup.owner);
        let met = Met {
            name: Arc::clone(&name),
            cgroup,
        };
        inner.met.insert(id, met);
        Ok(name)
    }

    /// How often the cgroups that are shown here have changed, as when they were mounted after the agent had
    /// started: what was not known then may be now.
    #[must_use]
    pub fn views(&self) -> u64 {
        let mut inner = self.lock();
        inner.follow(Instant::now());
        inner.views
    }

    /// The names of owners that exist now, of those that were asked for; at most half a minute old.
    /// `None` where it is not known.
    #[must_use]
    pub fn living(&self) -> Option<BTreeSet<Arc<str>>> {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.follow(now);
        let Inner {
            cgroups,
            names,
            met,
            looked,
            ..
        } = &mut *inner;
        let cgroups = cgroups.as_ref().ok()?;
        if looked.is_none_or(|looked| now >= looked + CENSUS) {
            *looked = Some(now);
            // Asked for again, one that is gone is told from what is remembered of it.
            met.retain(|id, met| cgroups.is_there(*id, &met.cgroup));
            if let Some(names) = names
                && let Err(error) = names.refresh(now)
            {
                warn!(%error, "the names of pods and containers are old");
            }
        }
        Some(met.values().map(|met| Arc::clone(&met.name)).collect())
    }

    /// Whether a cgroup exists, as far as can be told; at most half a minute old.
    #[must_use]
    pub fn exists(&self, cgroup: u64) -> bool {
        let inner = self.lock();
        inner.cgroups.is_err() || inner.met.contains_key(&cgroup)
    }

    // A panic while it was locked left whole entries.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Opens cgroups anew if they are mounted elsewhere by now, or for the first time. Without changes of mounts
    /// it is one system call a second at most.
    fn follow(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + LOOK;
        let is_blind = self.cgroups.is_err() || self.mounts.is_none();
        let is_due = is_blind && now >= self.retry;
        if !self.mounts.as_ref().is_some_and(Watch::has_changed) && !is_due {
            return;
        }
        self.retry = now + CENSUS;
        let began = Instant::now();
        let followed = match &mut self.cgroups {
            Ok(cgroups) => cgroups.follow(),
            Err(_) => open(self.capacity).map(|opened| {
                self.cgroups = Ok(opened);
                Followed::OtherPaths
            }),
        };
        match followed {
            Ok(Followed::Same) => {}
            Ok(followed) => {
                self.views += 1;
                if followed == Followed::OtherPaths {
                    self.met.clear();
                }
                if let Ok(cgroups) = &self.cgroups {
                    info!(mount_point = %cgroups.mount_point().display(), "cgroups are mounted elsewhere now");
                }
            }
            Err(error) => {
                let why = reason(&error);
                if self.cgroups.as_ref().err() != Some(&why) {
                    warn!(%error, "owners of connections are unknown from now on");
                    self.views += 1;
                }
                self.cgroups = Err(why);
            }
        }
        self.next = now + LOOK.max(began.elapsed() * PACE);
    }

    /// The owner's name, or what Kubernetes calls it.
    fn name(&self, owner: &Owner) -> Arc<str> {
        let called = self.names.as_ref().and_then(|names| {
            let container = owner.container.as_ref();
            let container = container.and_then(|it| names.container(&it.id));
            container.map(ToString::to_string).or_else(|| {
                let pod = owner.pod.as_ref()?;
                names.pod(&pod.uid).map(ToString::to_string)
            })
        });
        called.map_or_else(|| Arc::clone(&owner.name), Arc::from)
    }
}

fn open(capacity: usize) -> Result<Cgroups, cgroups::Error> {
    let cgroups = Cgroups::open(capacity)?;
    if let Some(error) = cgroups.refusal() {
        info!(%error, "cgroups are found by walking their tree: short-lived ones may stay unknown");
    }
    Ok(cgroups)
}

const fn reason(error: &cgroups::Error) -> Unknown {
    match error {
        cgroups::Error::NoHierarchy => Unknown::NoCgroups,
        _ => Unknown::CgroupRefused,
    }
}

const fn why(unknown: cgroups::Unknown) -> Unknown {
    match unknown {
        cgroups::Unknown::NoId => Unknown::NotOnThisKernel,
        cgroups::Unknown::Gone => Unknown::CgroupGone,
        cgroups::Unknown::Outside => Unknown::CgroupOutside,
        cgroups::Unknown::NotYet => Unknown::CgroupNotYet,
        cgroups::Unknown::Refused(_) => Unknown::CgroupRefused,
    }
}
