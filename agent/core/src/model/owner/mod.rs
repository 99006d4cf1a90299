//! Whose a socket is, told by the path of its cgroup: a systemd unit, a container, a pod.
//!
//! # Invariants
//! Every path gets an owner, and no path is trusted: whoever may make cgroups chooses their names.

mod container;
mod name;
mod pod;
mod unit;

use std::{fmt, sync::Arc};

pub use container::{Container, Runtime, is_id as is_container_id};
pub use pod::{Pod, Qos, uid as pod_uid};
pub use unit::{Manager, Unit};

#[cfg(test)]
mod tests;

/// The longest [`Owner::name`], in bytes.
pub const LONGEST_NAME: usize = 200;

/// The [`Owner::name`] of what no manager of services has put anywhere.
pub const ROOT: &str = "/";

/// What an owner is, and with it how it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The root of the hierarchy: what no manager of services has put anywhere.
    Root,
    /// A unit of systemd.
    Unit,
    /// A container, or a machine that systemd-machined knows.
    Container,
    /// A pod of Kubernetes, in a cgroup that belongs to none of its containers (its sandbox, a
    /// monitor).
    Pod,
    /// Another cgroup.
    Path,
}

impl Kind {
    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Path => "path",
        }
    }
}

/// The owner of a cgroup's sockets, all that the path tells.
///
/// A container is named before a pod, a pod before a unit, a unit before the path. Of nested
/// containers the innermost is meant, of pods the nearest around it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The value of the label `owner`, and what FILTER's `owner` is held against:
    ///
    /// | kind | name |
    /// |---|---|
    /// | container | the whole id that its runtime prints, 64 hexadecimal digits and nothing else, whatever the runtime: what `docker inspect`, `crictl` and cAdvisor call it by |
    /// | LXC, Garden | `lxc/NAME`, `garden/HANDLE`: their ids are names that others could bear |
    /// | systemd-nspawn, machine | the name of its unit |
    /// | pod | `podUID` |
    /// | unit of the system | its name as `systemctl` prints it, escapes of systemd's included: unescaped, two units could bear one name ([`Unit::title`] is for reading) |
    /// | unit of a user | `user@1000.service/NAME`: every user can have a unit of that name |
    /// | path, root | the path, from `/` |
    ///
    /// No form can be taken for another: slashes stand in no unit's name, every unit's name has a
    /// suffix, and a path alone begins with a slash. It is therefore never `other`
    /// ([`super::groups::OVERFLOW_OWNER`]), nor empty.
    ///
    /// It is safe to show: what is not printable, blanks, invalid UTF-8, `\` and `~` of a path are
    /// written `\xNN`, byte by byte. One longer than [`LONGEST_NAME`] is cut, with `~` and 16
    /// hexadecimal digits (FNV-1a, 64 bits, of the whole name) in place of the rest: the same from
    /// one run to the next, and different where what was cut off is.
    ///
    /// A cgroup is as trustworthy as who may make cgroups around it: a container that may can name
    /// one like another container ([`Container::outermost`] tells that it is nested).
    pub name: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// The unit of the host's systemd that it runs in, whatever the kind; of a user's manager where
    /// the path tells one.
    pub unit: Option<Unit>,
    /// The container.
    pub container: Option<Container>,
    /// The pod that the container, or else the cgroup, is part of.
    pub pod: Option<Pod>,
    /// The uid of the user whose session or manager it runs in (`user-1000.slice`): who logged in,
    /// not the uid of the process.
    pub user: Option<u32>,
}

impl Owner {
    /// The owner of a cgroup by its path in the unified hierarchy: from `/`, as /proc/PID/cgroup
    /// shows it after `0::`. `..` at its beginning (seen from inside a cgroup namespace, man 7
    /// cgroup_namespaces) tells nothing and is passed over, save in the name of a mere path.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Self {
        let shown: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|segment| !segment.is_empty() && *segment != b".")
            .collect();
        let up = shown
            .iter()
            .take_while(|segment| **segment == b"..")
            .count();
        let segments = &shown[up..];
        let (container, pod) = within(segments);
        let unit = unit::of_path(segments);
        let (name, kind) = match (&container, &pod, &unit) {
            (Some(container), _, _) => (container.owner(), Kind::Container),
            (None, Some(pod), _) => (pod.owner(), Kind::Pod),
            (None, None, Some(unit)) => (unit.owner(), Kind::Unit),
            (None, None, None) if shown.is_empty() => (ROOT.to_owned(), Kind::Root),
            (None, None, None) => (name::of_path(&shown), Kind::Path),
        };
        Self {
            name: name::bounded(name).into(),
            kind,
            unit,
            container,
            pod,
            user: unit::user(segments),
        }
    }
}

/// Shown by its name.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The innermost container, or the pod that is further in than any; and the nearest pod.
fn within(segments: &[&[u8]]) -> (Option<Container>, Option<Pod>) {
    let mut container: Option<Container> = None;
    let mut outermost: Option<String> = None;
    let mut pod = None;
    for (depth, segment) in segments.iter().enumerate() {
        let above = &segments[..depth];
        if let Some(found) = pod::of_segment(above, segment) {
            pod = Some(found);
            container = None;
        }
        if let Some(mut found) = container::of_segment(above, segment) {
            found.outermost.clone_from(&outermost);
            outermost.get_or_insert_with(|| found.id.clone());
            container = Some(found);
        }
    }
    (container, pod)
}

/// Whether it is that many hexadecimal digits, as runtimes write them.
fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(is_digit)
}
