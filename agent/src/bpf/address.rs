//! Addresses as the programs hand them out: 16 bytes, IPv4 in its IPv6-mapped form.
//!
//! # Invariants
//! An IPv4-mapped address of an AF_INET6 socket stays IPv6.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// AF_INET.
pub const AF_INET: u16 = 2;

/// An address of AF_INET becomes IPv4; one of AF_INET6 stays what it is, mapped or not.
pub fn address(family: u16, bytes: [u8; 16], port: u16) -> SocketAddr {
    let v6 = Ipv6Addr::from(bytes);
    let ip = match (family, v6.to_ipv4_mapped()) {
        (AF_INET, Some(v4)) => IpAddr::V4(v4),
        _ => IpAddr::V6(v6),
    };
    SocketAddr::new(ip, port)
}
