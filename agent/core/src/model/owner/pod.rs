//! Pods of Kubernetes, as the kubelet's cgroups name them.
//!
//! # Invariants
//! Only what the kubelet has named is a pod.

use super::is_hex;

/// Class of a pod's quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// Guaranteed: requests equal limits. Its cgroup has no class in its path.
    Guaranteed,
    /// Burstable.
    Burstable,
    /// Best effort: neither requests nor limits.
    BestEffort,
}

impl Qos {
    /// Its name, as the kubelet writes it in cgroups.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        }
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// `metadata.uid`, with its dashes; of a static pod the hash of its configuration (32
    /// hexadecimal digits without any), which is `kubernetes.io/config.hash` of its mirror pod.
    pub uid: String,
    /// Its class.
    pub qos: Qos,
}

impl Pod {
    /// The name as an owner.
    pub(super) fn owner(&self) -> String {
        format!("pod{}", self.uid)
    }
}

/// The pod whose cgroup this segment of a path is, below those above it (NewCgroupName() and
/// ToSystemd() in pkg/kubelet/cm/cgroup_manager_linux.go of Kubernetes):
/// `kubepods/burstable/podUID`, or `kubepods-burstable-podUID.slice` with dashes in the UID as
/// underscores. A kubelet with a `--cgroup-root` has its name before that: `kubelet-kubepods-…`.
pub fn of_segment(above: &[&[u8]], segment: &[u8]) -> Option<Pod> {
    let segment = std::str::from_utf8(segment).ok()?;
    if let Some(rest) = segment.strip_prefix("pod") {
        let qos = match above {
            [.., b"kubepods"] => Qos::Guaranteed,
            [.., b"kubepods", b"burstable"] => Qos::Burstable,
            [.., b"kubepods", b"besteffort"] => Qos::BestEffort,
            _ => return None,
        };
        return Some(Pod {
            uid: uid(rest)?,
            qos,
        });
    }
    // runc given a path for systemd without being told to use systemd: SLICE:PREFIX:NAME.
    let slice = segment.split(':').next()?.strip_suffix(".slice")?;
    let (root, rest) = slice.rsplit_once("kubepods-")?;
    if !root.is_empty() && !root.ends_with('-') {
        return None;
    }
    let (class, rest) = rest.rsplit_once("pod")?;
    let qos = match class {
        "" => Qos::Guaranteed,
        "burstable-" => Qos::Burstable,
        "besteffort-" => Qos::BestEffort,
        _ => return None,
    };
    Some(Pod {
        uid: uid(rest)?,
        qos,
    })
}

/// The UID of a pod as Kubernetes shows it ([`Pod::uid`]), if it is one, with dashes or underscores.
#[must_use]
pub fn uid(text: &str) -> Option<String> {
    if is_hex(text, 32) {
        return Some(text.to_owned());
    }
    let parts: Vec<&str> = text.split(['-', '_']).collect();
    let digits = [8, 4, 4, 4, 12];
    let whole = parts.len() == digits.len()
        && (parts.iter().zip(digits)).all(|(part, digits)| is_hex(part, digits));
    whole.then(|| parts.join("-"))
}
