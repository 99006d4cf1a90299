//! Containers, as their runtimes name cgroups.
//!
//! # Invariants
//! The process that watches a container is not the container.

use super::{is_hex, name, unit};

/// Who runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, for Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC, LXD or Incus.
    Lxc,
    /// Garden, of Cloud Foundry and Concourse.
    Garden,
    /// systemd-nspawn.
    Nspawn,
    /// A container or virtual machine registered with systemd-machined, such as libvirt's.
    Machine,
}

impl Runtime {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Garden => "garden",
            Self::Nspawn => "nspawn",
            Self::Machine => "machine",
        }
    }
}

/// A container, or a machine that systemd-machined knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// Its id: 64 hexadecimal digits; of LXC, Garden and machines its name, safe to show.
    pub id: String,
    /// Who runs it; `None` where the path does not tell, as with the kubelet's cgroupfs driver.
    pub runtime: Option<Runtime>,
    /// The id of the outermost container around it; `None` if it is not nested.
    pub outermost: Option<String>,
    /// The name as an owner, where it is not the id.
    named: Option<String>,
}

impl Container {
    /// The name as an owner.
    pub(super) fn owner(&self) -> String {
        self.named.as_ref().unwrap_or(&self.id).clone()
    }

    fn new(id: &str, runtime: Option<Runtime>) -> Self {
        Self {
            id: id.to_owned(),
            runtime,
            outermost: None,
            named: None,
        }
    }

    /// One whose id is a name that others could bear.
    fn named(id: &[u8], runtime: Runtime) -> Self {
        let id = name::safe(id);
        Self {
            named: Some(format!("{}/{id}", runtime.as_str())),
            runtime: Some(runtime),
            outermost: None,
            id,
        }
    }
}

/// The container whose cgroup this segment of a path is, below those above it.
pub fn of_segment(above: &[&[u8]], segment: &[u8]) -> Option<Container> {
    if let Some(name) = lxc(above, segment) {
        return Some(Container::named(name, Runtime::Lxc));
    }
    let segment = std::str::from_utf8(segment).ok()?;
    machine(above, segment)
        .or_else(|| bare(above, segment))
        .or_else(|| prefixed(above, segment))
        .or_else(|| garden(above, segment))
}

/// Payloads of LXC (cgfsng_payload_create() in src/lxc/cgroups/cgfsng.c): `lxc.payload.NAME`,
/// `lxc.payload/NAME`, before 4.0 `lxc/NAME`. Its monitor is `lxc.monitor.NAME`. Where a cgroup of
/// the name was left behind, LXC adds a number, which cannot be determined from the name.
fn lxc<'a>(above: &[&[u8]], segment: &'a [u8]) -> Option<&'a [u8]> {
    let name = match (above.last(), segment.strip_prefix(b"lxc.payload.")) {
        (_, Some(name)) => name,
        (Some(&(b"lxc" | b"lxc.payload")), None) => segment,
        _ => return None,
    };
    (!name.is_empty()).then_some(name)
}

/// Machines of systemd: `systemd-nspawn@NAME.service`, and `machine-NAME.scope` in machine.slice
/// (src/machine/machine.c).
fn machine(above: &[&[u8]], segment: &str) -> Option<Container> {
    let unit = unit::unit_name(segment.as_bytes())?;
    let nspawn = unit
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| Some((rest.strip_suffix(".service")?, Runtime::Nspawn)));
    let registered = || {
        let name = unit.strip_prefix("machine-")?.strip_suffix(".scope")?;
        let whole = !name.is_empty() && matches!(above, [.., b"machine.slice"]);
        whole.then_some((name, Runtime::Machine))
    };
    let (name, runtime) = nspawn.or_else(registered)?;
    Some(Container {
        id: name::safe(&unit::unescaped(name)),
        runtime: Some(runtime),
        outermost: None,
        named: Some(unit.to_owned()),
    })
}

/// An id alone: the cgroupfs driver of Docker (`docker/ID`), of the kubelet (`podUID/ID`), of ECS
/// (`ecs/TASK/ID`, on Fargate `ecs/TASK/TASK-NUMBER`), and of containerd (`NAMESPACE/ID`).
fn bare(above: &[&[u8]], segment: &str) -> Option<Container> {
    if let (Some((task, number)), [.., b"ecs", _]) = (segment.split_once('-'), above) {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let whole = is_hex(task, 32) && digits;
        return whole.then(|| Container::new(segment, None));
    }
    if !is_id(segment) {
        return None;
    }
    let runtime = match above {
        // A pod of Podman, with its containers below.
        [.., b"libpod_parent"] => return None,
        [.., b"docker"] | [.., b"ecs", _] => Some(Runtime::Docker),
        [.., b"k8s.io" | b"default" | b"containerd"] => Some(Runtime::Containerd),
        _ => None,
    };
    Some(Container::new(segment, runtime))
}

/// An id with a prefix: `PREFIX-ID.scope` of runc and crun under systemd, `PREFIX-ID` without,
/// `SLICE:PREFIX:ID` of runc given a path for systemd without being told to use systemd.
fn prefixed(above: &[&[u8]], segment: &str) -> Option<Container> {
    if let [slice, prefix, id] = segment.split(':').collect::<Vec<_>>()[..] {
        let whole = slice.ends_with(".slice") && is_id(id);
        return whole.then(|| Container::new(id, runtime(prefix)));
    }
    let scope = segment.strip_suffix(".scope");
    let (prefix, id) = scope.unwrap_or(segment).rsplit_once('-')?;
    // conmon, the monitor of CRI-O and Podman: crio-conmon-ID, libpod-conmon-ID.
    if !is_id(id) || prefix == "conmon" || prefix.ends_with("-conmon") {
        return None;
    }
    let runtime = runtime(prefix);
    let parent_is_slice = above.last().is_some_and(|last| last.ends_with(b".slice"));
    match (scope, runtime) {
        (Some(_), _) => {}
        (None, None) => return None,
        // The sandbox of CRI-O's pod has no scope, where the pod's containers have.
        (None, Some(Runtime::CriO)) if parent_is_slice => return None,
        (None, Some(_)) => {}
    }
    Some(Container::new(id, runtime))
}

fn runtime(prefix: &str) -> Option<Runtime> {
    Some(match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        // `libpod-payload-ID` where the unit that starts it keeps the cgroup (--cgroups=split).
        "libpod" | "libpod-payload" => Runtime::Podman,
        _ => return None,
    })
}

/// `garden/HANDLE`; where CPU is throttled `garden/good/HANDLE` and `garden/bad/HANDLE` (guardian).
/// Handles are UUIDs, those of applications without the last part's eight digits.
fn garden(above: &[&[u8]], segment: &str) -> Option<Container> {
    if !matches!(above, [.., b"garden"] | [.., b"garden", b"good" | b"bad"]) {
        return None;
    }
    let parts: Vec<&str> = segment.split('-').collect();
    let whole = match parts[..] {
        [a, b, c, d, e] => {
            [(a, 8), (b, 4), (c, 4), (d, 4)]
                .iter()
                .all(|(part, digits)| is_hex(part, *digits))
                && (is_hex(e, 4) || is_hex(e, 12))
        }
        _ => false,
    };
    whole.then(|| Container::named(segment.as_bytes(), Runtime::Garden))
}

/// Whether it is an id as Docker, containerd, CRI-O and Podman give: 64 hexadecimal digits.
#[must_use]
pub fn is_id(text: &str) -> bool {
    is_hex(text, 64)
}
