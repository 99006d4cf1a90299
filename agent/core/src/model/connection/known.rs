//! Facts that may be unknown, each with the reason.

use std::fmt;

/// A fact, or why it is not known.
pub type Known<T> = Result<T, Unknown>;

/// Why a fact is not known. Views show it as such, never as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// sock_diag, the fallback where sockets cannot be read by BPF, has no field for it.
    NotInSockDiag,
    /// This kernel keeps no such field.
    NotOnThisKernel,
    /// A socket of this kind (TIME_WAIT, request) has none.
    NotOfThisKind,
    /// The settings of its network namespace could not be read.
    NamespaceUnread,
    /// An event does not tell it.
    NotInEvents,
    /// It began before the hooks were attached, or when no more beginnings found room.
    BeginningUnseen,
    /// No process was seen to accept it: it was accepted before the hooks were attached, is not accepted yet,
    /// or no hook tells.
    AcceptUnseen,
    /// The kernel's table of records had no room for it.
    NoRecord,
    /// The peer has never been heard.
    NeverHeard,
    /// It takes a reading of its own, which nobody asked for.
    NotAskedFor,
    /// The kernel refused to tell.
    Refused,
    /// The socket was closed while it was read.
    ClosedMeanwhile,
    /// Its listener was not met, or is gone.
    ListenerUnseen,
    /// What is outside the agent's PID namespace cannot be seen.
    OutsidePidNamespace,
    /// No hierarchy of cgroups v2 is mounted here.
    NoCgroups,
    /// Its cgroup was gone before it was looked at.
    CgroupGone,
    /// Its cgroup is not below what is mounted here.
    CgroupOutside,
    /// Its cgroup was made just now, and has not been looked for yet.
    CgroupNotYet,
    /// The kernel refuses to tell of its cgroup.
    CgroupRefused,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInSockDiag => "sock_diag does not tell",
            Self::NotOnThisKernel => "this kernel does not tell",
            Self::NotOfThisKind => "a socket of this kind has none",
            Self::NamespaceUnread => "its network namespace could not be read",
            Self::NotInEvents => "an event does not tell",
            Self::BeginningUnseen => "its beginning was not seen",
            Self::AcceptUnseen => "no process was seen to accept it",
            Self::NoRecord => "the kernel's table of records was full",
            Self::NeverHeard => "the peer was never heard",
            Self::NotAskedFor => "nobody asked for it",
            Self::Refused => "the kernel refused to tell",
            Self::ClosedMeanwhile => "it was closed meanwhile",
            Self::ListenerUnseen => "its listener was not found",
            Self::OutsidePidNamespace => "processes outside this PID namespace cannot be seen",
            Self::NoCgroups => "no cgroup v2 hierarchy is mounted here",
            Self::CgroupGone => "its cgroup was gone before it was looked at",
            Self::CgroupOutside => "its cgroup is outside what is shown here of cgroups",
            Self::CgroupNotYet => "its cgroup has not been looked for yet",
            Self::CgroupRefused => "its cgroup cannot be looked at",
        })
    }
}
