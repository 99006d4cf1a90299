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
    cgroups::{self, Cgroup, Cgroups},
    kubernetes::{self, Names},
};
use crate::options::Options;
use halfopen_core::model::{
    connection::{Known, Unknown},
    owner::Owner,
};

/// Which owners still exist is looked up this often.
const CENSUS: Duration = Duration::from_secs(30);

/// Tells owners; cheap to clone.
#[derive(Clone)]
pub struct Owners(Arc<Mutex<Inner>>);

struct Inner {
    cgroups: Result<Cgroups, Unknown>,
    are_processes: bool,
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
        let opened = Cgroups::open(cgroups).map_err(|error| {
            warn!(%error, "owners of connections are unknown");
            match error {
                cgroups::Error::NoHierarchy => Unknown::NoCgroups,
                _ => Unknown::CgroupRefused,
            }
        });
        if let Ok(cgroups) = &opened
            && let Some(error) = cgroups.refusal()
        {
            info!(%error, "cgroups are found by walking their tree: short-lived ones may stay unknown");
        }
        let names = kubernetes.then(|| Names::read(Path::new(kubernetes::LOGS), Instant::now()));
        let names = names.and_then(|names| {
            let report = |error: &_| warn!(%error, "the names of pods and containers are unknown");
            names.inspect_err(report).ok()
        });
        let are_processes = match &opened {
            Ok(cgroups) => !cgroups.is_used(),
            Err(why) => *why == Unknown::NoCgroups,
        };
        Self(Arc::new(Mutex::new(Inner {
            cgroups: opened,
            are_processes,
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

    /// Whether cgroups tell nothing here, since the host has v1 alone, or nobody in those of v2: then
    /// the process that holds a socket is all that tells whose it is.
    #[must_use]
    pub fn are_processes(&self) -> bool {
        self.lock().are_processes
    }

    /// The names of owners that exist now, of those that were asked for; at most half a minute old.
    /// `None` where it is not known.
    #[must_use]
    pub fn living(&self) -> Option<BTreeSet<Arc<str>>> {
        let mut inner = self.lock();
        let now = Instant::now();
        let Inner {
            cgroups,
            names,
            met,
            looked,
            are_processes: _,
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

const fn why(unknown: cgroups::Unknown) -> Unknown {
    match unknown {
        cgroups::Unknown::NoId => Unknown::NotOnThisKernel,
        cgroups::Unknown::Gone => Unknown::CgroupGone,
        cgroups::Unknown::Outside => Unknown::CgroupOutside,
        cgroups::Unknown::NotYet => Unknown::CgroupNotYet,
        cgroups::Unknown::Refused(_) => Unknown::CgroupRefused,
    }
}
