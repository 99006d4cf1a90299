//! The segment that a reset answers.

use halfopen_common::{NetKey, Record};

use crate::{
    fields,
    read::{Offset, read},
    sock::{AF_INET, AF_INET6, mapped, net_key},
};

/// RTN_LOCAL (include/uapi/linux/rtnetlink.h).
const RTN_LOCAL: u8 = 2;
/// RTF_LOCAL (include/uapi/linux/ipv6_route.h).
const RTF_LOCAL: u32 = 0x8000_0000;

/// IPPROTO_TCP.
const IPPROTO_TCP: u8 = 6;

/// A `struct sk_buff *`: the segment a reset answers.
#[derive(Clone, Copy)]
pub struct Segment(pub u64);

impl Segment {
    /// The namespace of the device it came in by.
    #[inline(always)]
    pub fn net(self) -> Option<NetKey> {
        let device = read(self.0, fields::skb_dev())?;
        net_key(read(device, fields::dev_net())?)
    }

    /// The namespace in which it will go out, by its route.
    #[inline(always)]
    pub fn net_of_route(self) -> Option<NetKey> {
        let device = read(self.route()?, fields::dst_dev())?;
        net_key(read(device, fields::dev_net())?)
    }

    /// The socket that it belongs to, if any: that of its sender, or the one that it is for.
    #[inline(always)]
    pub fn sock(self) -> Option<u64> {
        read(self.0, fields::skb_sock())
    }

    /// Whether it came in by an interface, and was not made here.
    #[inline(always)]
    pub fn is_received(self) -> Option<bool> {
        Some(read(self.0, fields::skb_iif())? != 0)
    }

    /// Whether it is a reset, of whatever may be no TCP at all: for packets that are complete.
    #[inline(always)]
    pub fn is_tcp_reset(self) -> Option<bool> {
        let (ip, _) = self.headers()?;
        // RFC 791 and RFC 8200: where the protocol stands in the header.
        let protocol = if is_ipv6(ip)? { 6 } else { 9 };
        let protocol: u8 = read(ip, Offset::new(protocol))?;
        Some(protocol == IPPROTO_TCP && self.is_reset()?)
    }

    /// Where its IP and TCP headers begin.
    #[inline(always)]
    fn headers(self) -> Option<(u64, u64)> {
        let head = read(self.0, fields::skb_head())?;
        let network = read(self.0, fields::skb_network())?;
        let transport = read(self.0, fields::skb_transport())?;
        let ip = head.wrapping_add(u64::from(network));
        let tcp = if transport != network {
            head.wrapping_add(u64::from(transport))
        } else if is_ipv6(ip)? {
            // One that netfilter makes (`nf_reject_ip_tcphdr_put`): its IP header has no options.
            ip.wrapping_add(40)
        } else {
            ip.wrapping_add(20)
        };
        Some((ip, tcp))
    }

    /// The address and port that it was sent to.
    #[inline(always)]
    pub fn local(self) -> Option<([u8; 16], u16)> {
        let (ip, tcp) = self.headers()?;
        let port = read(tcp, Offset::new(2)).map(u16::from_be)?;
        let address = if is_ipv6(ip)? {
            read(ip, Offset::new(24))?
        } else {
            mapped(read(ip, Offset::new(16))?)
        };
        Some((address, port))
    }

    /// Its two ends, as a reset's that answers it: it was sent to the local one.
    #[inline(always)]
    pub fn ends(self, record: &mut Record) -> Option<()> {
        let (ip, tcp) = self.headers()?;
        record.remote_port = read(tcp, Offset::new(0)).map(u16::from_be)?;
        record.local_port = read(tcp, Offset::new(2)).map(u16::from_be)?;
        // RFC 791 and RFC 8200: where the addresses stand in the header.
        if is_ipv6(ip)? {
            record.family = AF_INET6;
            record.remote = read(ip, Offset::new(8))?;
            record.local = read(ip, Offset::new(24))?;
        } else {
            record.family = AF_INET;
            record.remote = mapped(read(ip, Offset::new(12))?);
            record.local = mapped(read(ip, Offset::new(16))?);
        }
        Some(())
    }

    /// Whether it is itself a reset: never answered.
    #[inline(always)]
    pub fn is_reset(self) -> Option<bool> {
        Some(self.flags()? & 0x04 != 0)
    }

    /// Whether it begins a connection.
    #[inline(always)]
    pub fn is_syn(self) -> Option<bool> {
        Some(self.flags()? & 0x02 != 0)
    }

    /// The byte of its header with its flags.
    #[inline(always)]
    fn flags(self) -> Option<u8> {
        read(self.headers()?.1, Offset::new(13))
    }

    /// Whether its route is a local one.
    #[inline(always)]
    pub fn is_local(self) -> Option<bool> {
        if is_ipv6(self.headers()?.0)? {
            self.is_local6()
        } else {
            self.is_local4()
        }
    }

    /// Whether its route is a local one, IPv4 (`skb_rtable(skb)->rt_type`).
    #[inline(always)]
    pub fn is_local4(self) -> Option<bool> {
        Some(read(self.route()?, fields::rt_type())? == RTN_LOCAL)
    }

    /// Whether its route is a local one, IPv6 (`ipv6_unicast_destination`).
    #[inline(always)]
    pub fn is_local6(self) -> Option<bool> {
        Some(read(self.route()?, fields::rt6_flags())? & RTF_LOCAL != 0)
    }

    /// `skb_dst`: the low bit only says who holds it (SKB_DST_NOREF).
    #[inline(always)]
    fn route(self) -> Option<u64> {
        read(self.0, fields::skb_refdst()).map(|route| route & !1)
    }
}

/// Whether this header is one of IPv6.
#[inline(always)]
fn is_ipv6(ip: u64) -> Option<bool> {
    let version: u8 = read(ip, Offset::new(0))?;
    Some(version >> 4 == 6)
}
