//! Two hosts joined by a cable, and the ways to cut it.
//! It must never use an address that is routed anywhere: nothing leaves the two namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    Error, Host,
    host::Held,
};

/// The name of each host's end of the cable.
const LINK: &str = "lab0";

/// Drops TCP in one direction; neighbour discovery goes on, as it does behind a dead firewall.
const FILTER: &str = "policy drop; meta l4proto != tcp accept;";

/// Which addresses a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// TEST-NET-1 (RFC 5737).
    Ipv4,
    /// Unique local addresses (RFC 4193).
    Ipv6,
}

impl Family {
    /// As it is written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
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

    const fn address(self, host: u8) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host as u16)),
        }
    }

    fn setup(self, address: IpAddr) -> String {
        let (prefix, flags) = match self {
            Self::Ipv4 => (24, ""),
            // Duplicate detection would hold the address back for a second.
            Self::Ipv6 => (64, " nodad"),
        };
        format!("link set lo up\naddr add {address}/{prefix} dev {LINK}{flags}\nlink set {LINK} up\n")
    }
}

/// Two hosts and the cable between them.
#[derive(Debug)]
pub struct Pair {
    /// The host that connects.
    pub client: Host,
    /// The host that is connected to.
    pub server: Host,
    family: Family,
}

impl Pair {
    /// Makes both hosts and joins them.
    ///
    /// # Errors
    /// Without the right or the means to.
    pub fn new(name: &str, family: Family, client: Held) -> Result<Self, Error> {
        let client = Host::new(&format!("{name}c"), client)?;
        let server = Host::new(&format!("{name}s"), Held::ByThread)?;
        let peer = server.path().display();
        client.ip(&format!("link add {LINK} type veth peer name {LINK} netns {peer}\n"))?;
        client.ip(&family.setup(family.client()))?;
        server.ip(&family.setup(family.server()))?;
        Ok(Self { client, server, family })
    }

    /// The server's end of the cable goes down: the client's packets reach nobody.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn unplug_server(&self) -> Result<(), Error> {
        self.server.ip(&format!("link set {LINK} down\n"))
    }

    /// The server's firewall swallows what arrives.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input"))
    }

    /// The client's own firewall swallows what it sends.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_at_client(&self) -> Result<(), Error> {
        self.client.nft(&filter("output"))
    }

    /// The client's own route to the server becomes a blackhole.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn blackhole_at_client(&self) -> Result<(), Error> {
        self.client.ip(&format!("route add blackhole {}\n", self.family.server()))
    }
}

fn filter(hook: &str) -> String {
    format!("table inet halfopen_lab {{ chain {hook} {{ type filter hook {hook} priority 0; {FILTER} }} }}\n")
}
