//! The addresses of the lab. They are routed nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// TEST-NET-1 (RFC 5737).
    Ipv4,
    /// Unique local addresses (RFC 4193).
    Ipv6,
    /// Those of [`Self::Ipv4`] in sockets of IPv6 (RFC 4291, 2.5.5.2).
    Mapped,
}

impl Family {
    /// As it is written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mapped => "ipv4-mapped",
        }
    }

    /// What goes over the cable.
    pub(super) const fn wire(self) -> Self {
        match self {
            Self::Ipv4 | Self::Mapped => Self::Ipv4,
            Self::Ipv6 => Self::Ipv6,
        }
    }

    /// The client's address.
    #[must_use]
    pub const fn client(self) -> IpAddr {
        self.address(1)
    }

    /// The server's address.
    #[must_use]
    pub const fn server(self) -> IpAddr {
        self.address(2)
    }

    /// An address behind the server, of TEST-NET-2 (RFC 5737) or unique local, that nobody has.
    #[must_use]
    pub const fn beyond(self) -> IpAddr {
        let v4 = Ipv4Addr::new(198, 51, 100, 1);
        match self {
            Self::Ipv4 => IpAddr::V4(v4),
            Self::Mapped => IpAddr::V6(v4.to_ipv6_mapped()),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1)),
        }
    }

    const fn address(self, host: u8) -> IpAddr {
        let v4 = Ipv4Addr::new(192, 0, 2, host);
        match self {
            Self::Ipv4 => IpAddr::V4(v4),
            Self::Mapped => IpAddr::V6(v4.to_ipv6_mapped()),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host as u16)),
        }
    }
}
