//! Names of pods and containers of Kubernetes, from where the kubelet keeps their logs.
//!
//! # Invariants
//! No log is opened, and nothing is asked over the network.

use std::{
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use halfopen_core::model::owner;

#[cfg(test)]
mod tests;

/// Where the kubelet keeps logs: `pods` and `containers` in it (podLogsRootDirectory and
/// legacyContainerLogsDir in pkg/kubelet/kuberuntime of Kubernetes).
pub const LOGS: &str = "/var/log";

/// The least time between two readings.
const FRESH: Duration = Duration::from_secs(10);
/// Entries of a directory that are looked at: a node has some hundreds.
const MOST: usize = 65_536;
/// Names that are kept of those that are gone too, whose sockets may die after them: jobs come and go
/// without end.
const KEPT: usize = 16_384;

/// The name of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its own.
    pub pod: String,
}

/// As `kubectl` is told it in one word.
impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod)
    }
}

/// The name of a container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName {
    /// Its pod.
    pub pod: PodName,
    /// Its own.
    pub container: String,
}

/// Namespace, pod and container, from the largest to the smallest.
impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pod, self.container)
    }
}

#[derive(Debug)]
struct Kept<T> {
    name: Arc<T>,
    /// The reading in which it was last there.
    seen: u64,
}

/// Names by what cgroups tell. Those of pods that are gone stay, save the oldest of very many.
///
/// All are made of what Kubernetes admits as names (lower-case letters, digits, hyphens, in a pod's
/// dots): what else is in the directories is passed over.
#[derive(Debug)]
pub struct Names {
    root: PathBuf,
    pods: HashMap<String, Kept<PodName>>,
    containers: HashMap<String, Kept<ContainerName>>,
    readings: u64,
    next: Instant,
}

impl Names {
    /// Those below this directory, normally [`LOGS`].
    ///
    /// # Errors
    /// When `pods` in it cannot be read: there is no kubelet here, or its logs are not shown.
    pub fn read(root: &Path, now: Instant) -> io::Result<Self> {
        let mut names = Self {
            root: root.to_owned(),
            pods: HashMap::new(),
            containers: HashMap::new(),
            readings: 0,
            next: now,
        };
        names.refresh(now)?;
        Ok(names)
    }

    /// Reads again, unless it did within the last 10 s. To be called when something has no name.
    ///
    /// # Errors
    /// As [`Names::read`]; what was known stays.
    pub fn refresh(&mut self, now: Instant) -> io::Result<()> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + FRESH;
        self.readings += 1;
        for entry in fs::read_dir(self.root.join("pods"))?.take(MOST).flatten() {
            if let Some((uid, name)) = entry.file_name().to_str().and_then(pod) {
                see(&mut self.pods, uid, name, self.readings);
            }
        }
        // Links that the kubelet makes for collectors of logs; without them containers have no names.
        let links = fs::read_dir(self.root.join("containers"));
        for entry in links.into_iter().flatten().take(MOST).flatten() {
            if let Some((id, name)) = entry.file_name().to_str().and_then(container) {
                see(&mut self.containers, id, name, self.readings);
            }
        }
        forget(&mut self.pods, self.readings);
        forget(&mut self.containers, self.readings);
        Ok(())
    }

    /// The pod with this UID ([`owner::Pod::uid`]).
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodName>> {
        self.pods.get(uid).map(|kept| &kept.name)
    }

    /// The container with this id ([`owner::Container::id`]). Of one whose names are very long the
    /// kubelet cuts off the end of the id, and nothing is known.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&Arc<ContainerName>> {
        self.containers.get(id).map(|kept| &kept.name)
    }
}

/// `NAMESPACE_POD_UID` (BuildPodLogsDirectory() in helpers.go), the UID first.
fn pod(directory: &str) -> Option<(String, PodName)> {
    let mut parts = directory.split('_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let name = named(namespace, pod)?;
    let uid = owner::pod_uid(uid)?;
    parts.next().is_none().then_some((uid, name))
}

/// `POD_NAMESPACE_CONTAINER-ID.log` (logSymlink() in legacy.go), the id first.
fn container(link: &str) -> Option<(String, ContainerName)> {
    let (names, id) = link.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = names.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && is_label(container) && owner::is_container_id(id);
    let name = ContainerName {
        pod: named(namespace, pod)?,
        container: container.to_owned(),
    };
    whole.then(|| (id.to_owned(), name))
}

fn named(namespace: &str, pod: &str) -> Option<PodName> {
    (is_label(namespace) && is_subdomain(pod)).then(|| PodName {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
    })
}

/// As names of namespaces and containers are (IsDNS1123Label() in apimachinery's validation).
fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// As names of pods are (IsDNS1123Subdomain()): its parts may be longer than a label.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let bounded = !text.is_empty() && !text.starts_with('-') && !text.ends_with('-');
    bounded && text.bytes().all(inside)
}

/// Keeps the name, or that it is still there.
fn see<T: PartialEq>(names: &mut HashMap<String, Kept<T>>, key: String, name: T, seen: u64) {
    match names.entry(key) {
        Occupied(mut known) if *known.get().name == name => known.get_mut().seen = seen,
        Occupied(mut other) => *other.get_mut() = Kept::new(name, seen),
        Vacant(place) => {
            place.insert(Kept::new(name, seen));
        }
    }
}

impl<T> Kept<T> {
    fn new(name: T, seen: u64) -> Self {
        Self {
            name: Arc::new(name),
            seen,
        }
    }
}

/// Forgets those that were last there longest ago, if there are too many, but none that is there.
fn forget<T>(names: &mut HashMap<String, Kept<T>>, now: u64) {
    let Some(surplus) = names.len().checked_sub(KEPT + 1) else {
        return;
    };
    let mut seen: Vec<u64> = names.values().map(|kept| kept.seen).collect();
    let latest = *seen.select_nth_unstable(surplus).1;
    names.retain(|_, kept| kept.seen > latest || kept.seen == now);
}
