//! Two hosts joined by a veth pair, and the ways to cut it.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use crate::{
    Error,
    net::{
        family::Family,
        host::{Host, NetnsLifetime},
    },
    wait::{self, Awaited, LIMIT},
};

/// The type of service of packets that [`Pair::drop_marked`] drops: DSCP 46, as it stands in the
/// header's byte.
pub(crate) const MARK: u32 = 46 << 2;

/// Drops the packets of sockets that have set [`MARK`], IPv4 alone.
const NO_MARKED: &str = "policy accept; ip dscp 46 drop;";

/// Removes the lab's rules from a firewall.
const RESTORE: &str = "delete table inet halfopen_lab\n";

/// The name of each host's end of the cable.
pub(super) const LINK: &str = "lab0";

/// Of datagrams only.
const ECHO_PORT: u16 = 7;

/// Drops TCP in one direction; neighbour discovery goes on, as it does behind a dead firewall.
const NO_TCP: &str = "policy drop; meta l4proto != tcp accept;";

/// Answers TCP as a router does that finds no way to the host.
const UNREACHABLE: &str =
    "policy accept; meta l4proto tcp reject with icmpx type host-unreachable;";

/// Answers TCP as a firewall does that forbids it.
const PROHIBITED: &str = "policy accept; meta l4proto tcp reject with icmpx type admin-prohibited;";

/// Answers TCP as a host does on which nothing has the port.
const NO_PORT: &str = "policy accept; meta l4proto tcp reject with icmpx type port-unreachable;";

/// Answers TCP with a reset of the firewall's own, and lets that pass.
const RESET: &str = "policy accept; tcp flags & rst == 0 reject with tcp reset;";

/// Drops all of TCP but the opening of a connection.
const ONLY_SYN: &str = "policy accept; tcp flags & syn == 0 drop;";

/// Drops what ends one direction of a connection.
const NO_FIN: &str = "policy accept; tcp flags & fin != 0 drop;";

/// Drops long packets, as a path with a small MTU does whose ICMP is lost.
const NO_LONG: &str = "policy accept; meta l4proto tcp meta length >= 1200 drop;";

/// Drops all of TCP with more than 100 bytes but the first.
const ONE_LONG: &str =
    "policy accept; meta l4proto tcp meta length > 100 numgen inc mod 1000000 > 0 drop;";

/// Drops all of TCP but what a sender pushes: its last byte for now.
const ONLY_DATA: &str = "policy accept; tcp flags & psh == 0 drop;";

/// Two hosts and the cable between them.
#[derive(Debug)]
pub struct Pair {
    /// The host that connects.
    pub client: Host,
    /// The host that is connected to.
    pub server: Host,
    wire: Family,
}

impl Pair {
    /// Makes both hosts and joins them.
    ///
    /// # Errors
    /// Without the right or the means to.
    pub fn new(name: &str, family: Family, client: NetnsLifetime) -> Result<Self, Error> {
        if family != Family::Ipv4 && !Path::new("/proc/sys/net/ipv6").exists() {
            return Err(Error::Unsupported("the kernel has no IPv6".to_owned()));
        }
        let wire = family.wire();
        let client = Host::new(&format!("{name}c"), client)?;
        let server = Host::new(&format!("{name}s"), NetnsLifetime::Thread)?;
        let peer = server.path().display();
        client.ip(&format!(
            "link add {LINK} type veth peer name {LINK} netns {peer}\n"
        ))?;
        Self::joined(client, server, wire)
    }

    /// Two hosts whose ends of a cable are there, without addresses.
    pub(super) fn joined(client: Host, server: Host, wire: Family) -> Result<Self, Error> {
        client.ip(&setup(wire, wire.client()))?;
        server.ip(&setup(wire, wire.server()))?;
        let pair = Self {
            client,
            server,
            wire,
        };
        pair.warm_up()?;
        Ok(pair)
    }

    /// Captures from now on what passes the cable, at both ends.
    ///
    /// # Errors
    /// Without the right to packet sockets.
    pub(crate) fn capture(&mut self) -> Result<(), Error> {
        self.client.capture(self.wire.client())?;
        self.server.capture(self.wire.server())
    }

    /// Sends datagrams until one comes back. A fresh cable loses packets until the kernel has
    /// noticed it, and a lost SYN would raise the retransmission timeout of all that follows.
    fn warm_up(&self) -> Result<(), Error> {
        let to = SocketAddr::new(self.wire.server(), ECHO_PORT);
        let from = SocketAddr::new(self.wire.client(), ECHO_PORT);
        let failed = |source| Error::socket(format!("exchange datagrams with {to}"), source);
        let server = self.server.run(move || bound(to))?.map_err(failed)?;
        let client = self.client.run(move || bound(from))?.map_err(failed)?;
        wait::until("a datagram to pass between two namespaces", LIMIT, || {
            let passed = client
                .send_to(b"x", to)
                .and_then(|_| server.recv_from(&mut [0]))
                .and_then(|_| server.send_to(b"x", from))
                .and_then(|_| client.recv_from(&mut [0]));
            Ok(match passed {
                Ok(_) => Awaited::Done(()),
                Err(error) => Awaited::NotYet(error.to_string()),
            })
        })
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
        self.server.nft(&filter("input", NO_TCP))
    }

    /// The server's firewall lets everything pass again.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn restore_server(&self) -> Result<(), Error> {
        self.server.nft(RESTORE)
    }

    /// Somebody says by ICMP that the server cannot be reached.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn unreachable_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", UNREACHABLE))
    }

    /// The server's firewall answers that connecting is administratively prohibited.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn prohibited_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", PROHIBITED))
    }

    /// The server answers that the port is unreachable, by ICMP.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn unreachable_port(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", NO_PORT))
    }

    /// The server's firewall resets what arrives.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn reset_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", RESET))
    }

    /// The client's own firewall resets what it sends.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn reset_at_client(&self) -> Result<(), Error> {
        self.client.nft(&filter("output", RESET))
    }

    /// The server becomes the client's router to [`Family::beyond`], and its firewall resets what it forwards.
    ///
    /// # Errors
    /// When `ip`, `nft` or the kernel refuses.
    pub fn reset_at_router(&self) -> Result<(), Error> {
        let forwarding = match self.wire {
            Family::Ipv6 => "ipv6/conf/all/forwarding",
            Family::Ipv4 | Family::Mapped => "ipv4/ip_forward",
        };
        self.server.sysctl(forwarding, "1")?;
        // It sends nothing there: the rule comes first.
        let route = |via| format!("route add {} via {via}\n", self.wire.beyond());
        self.client.ip(&route(self.wire.server()))?;
        self.server.ip(&route(self.wire.client()))?;
        self.server.nft(&filter("forward", RESET))
    }

    /// Nobody has the server's address any more: the client looks for its neighbour in vain.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn nobody_at_server(&self) -> Result<(), Error> {
        self.server.ip(&format!("addr flush dev {LINK}\n"))?;
        self.client.ip(&format!("neigh flush dev {LINK}\n"))
    }

    /// The server's firewall lets connections begin, and swallows what follows.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn only_syn_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", ONLY_SYN))
    }

    /// The server's firewall lets data pass, and swallows what only acknowledges.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn only_data_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", ONLY_DATA))
    }

    /// The server's firewall swallows long packets.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_long_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", NO_LONG))
    }

    /// The server's firewall lets one segment with some data pass, and what has none: it swallows the rest.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn only_one_long_at_server(&self) -> Result<(), Error> {
        self.server.nft(&filter("input", ONE_LONG))
    }

    /// Both firewalls swallow every tenth packet of each connection from one of these ports of the client. Each
    /// connection and direction has a counter of its own (`nft_ng_inc_gen`, net/netfilter/nft_numgen.c): by
    /// chance, or by one counter for all, a connection might lose as many in a row as make it a suspect. This way
    /// the ninth after a loss is the next: of data that is sent again and again at most two are unanswered in a
    /// row, the one that is lost, and the one whose acknowledgement is.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_every_tenth(&self, ports: &[u16]) -> Result<(), Error> {
        let rules = |side: &str| {
            let rule = |port| format!("tcp {side} {port} numgen inc mod 10 == 9 drop; ");
            let rules: String = ports.iter().map(rule).collect();
            filter("input", &format!("policy accept; {rules}"))
        };
        self.server.nft(&rules("sport"))?;
        self.client.nft(&rules("dport"))
    }

    /// The client's own firewall swallows the server's FIN.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_fin_at_client(&self) -> Result<(), Error> {
        self.client.nft(&filter("input", NO_FIN))
    }

    /// The server's firewall lets a connection from this port begin, and swallows what follows; others pass.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn only_syn_from(&self, port: u16) -> Result<(), Error> {
        let rule = format!("policy accept; tcp sport {port} tcp flags & syn == 0 drop;");
        self.server.nft(&filter("input", &rule))
    }

    /// The client's own firewall swallows what the server sends.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_inbound_at_client(&self) -> Result<(), Error> {
        self.client.nft(&filter("input", NO_TCP))
    }

    /// Both firewalls swallow what arrives from sockets that have set their type of service to
    /// [`MARK`]: each socket can fall silent by itself, while others still connect.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub(crate) fn drop_marked(&self) -> Result<(), Error> {
        let rules = filter("input", NO_MARKED);
        self.client.nft(&rules)?;
        self.server.nft(&rules)
    }

    /// Each host's own firewall swallows what sockets send that have set [`MARK`], IPv4 alone.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub(crate) fn keep_marked_back(&self) -> Result<(), Error> {
        let rules = filter("output", NO_MARKED);
        self.client.nft(&rules)?;
        self.server.nft(&rules)
    }

    /// The client's firewall lets everything pass again.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn restore_client(&self) -> Result<(), Error> {
        self.client.nft(RESTORE)
    }

    /// The client's own firewall swallows what it sends.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn drop_at_client(&self) -> Result<(), Error> {
        self.client.nft(&filter("output", NO_TCP))
    }

    /// The client's own end of the cable goes down.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn unplug_client(&self) -> Result<(), Error> {
        self.client.ip(&format!("link set {LINK} down\n"))
    }

    /// The client loses its address.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn remove_client_address(&self) -> Result<(), Error> {
        self.client.ip(&format!("addr flush dev {LINK}\n"))
    }

    /// The client loses its routes.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn remove_client_route(&self) -> Result<(), Error> {
        self.client.ip(&format!("route flush dev {LINK}\n"))
    }

    /// The client's own route to the server becomes a blackhole.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn blackhole_at_client(&self) -> Result<(), Error> {
        self.client
            .ip(&format!("route add blackhole {}\n", self.wire.server()))
    }
}

fn setup(wire: Family, address: IpAddr) -> String {
    let (prefix, flags) = match wire {
        Family::Ipv4 | Family::Mapped => (24, ""),
        // Duplicate detection would hold the address back for a second.
        Family::Ipv6 => (64, " nodad"),
    };
    format!("link set lo up\naddr add {address}/{prefix} dev {LINK}{flags}\nlink set {LINK} up\n")
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

fn filter(hook: &str, rules: &str) -> String {
    let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0; {rules}\n}}");
    format!("table inet halfopen_lab {{\n{chain}\n}}\n")
}
