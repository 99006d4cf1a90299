//! The names of the ways to read every socket.

use clap::ValueEnum;

/// A way to read every socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Our walk as the metrics need it.
    Walk,
    /// Our walk, bringing every socket.
    WalkFull,
    /// The kernel's iterator with an empty program, once for each namespace.
    Iterator,
    /// `ss -tan`.
    Ss,
    /// `ss -tanoi`.
    SsInfo,
    /// Reading /proc/net/tcp.
    Proc,
    /// A dump by netlink's sock_diag, without extensions.
    Diag,
    /// A scrape of node_exporter with nothing but its collector tcpstat.
    NodeExporter,
}

impl Kind {
    /// In the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Walk,
        Self::WalkFull,
        Self::Iterator,
        Self::Ss,
        Self::SsInfo,
        Self::Proc,
        Self::Diag,
        Self::NodeExporter,
    ];

    /// As it is typed.
    pub fn word(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// As it is shown.
    pub fn title(self) -> &'static str {
        match self {
            Self::Walk => "walk, idle sockets summed",
            Self::WalkFull => "walk, each socket in full",
            Self::Iterator => "empty BPF iterator",
            Self::Ss => "ss -tan",
            Self::SsInfo => "ss -tanoi",
            Self::Proc => "/proc/net/tcp",
            Self::Diag => "sock_diag, no extension",
            Self::NodeExporter => "node_exporter tcpstat",
        }
    }
}
