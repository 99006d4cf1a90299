//! Addresses with prefix and port, as `ss` writes them.
//!
//! # Invariants
//! No name is resolved: what is typed is a number or an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::value;

/// Which sockets an address and a port stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    addresses: Addresses,
    /// `None` is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addresses {
    Any,
    /// IPv4, and IPv6 sockets that speak IPv4 (mapped addresses).
    V4 {
        network: u32,
        mask: u32,
    },
    /// IPv6; mapped addresses too, where the prefix is short enough to hold them.
    V6 {
        network: u128,
        mask: u128,
    },
}

impl Host {
    pub fn holds(&self, socket: SocketAddr) -> bool {
        let address = match (self.addresses, socket.ip()) {
            (Addresses::Any, _) => true,
            (Addresses::V4 { network, mask }, IpAddr::V4(address)) => {
                address.to_bits() & mask == network
            }
            (Addresses::V4 { network, mask }, IpAddr::V6(address)) => address
                .to_ipv4_mapped()
                .is_some_and(|address| address.to_bits() & mask == network),
            (Addresses::V6 { network, mask }, IpAddr::V6(address)) => {
                address.to_bits() & mask == network
            }
            (Addresses::V6 { .. }, IpAddr::V4(_)) => false,
        };
        address && self.port.is_none_or(|port| port == socket.port())
    }
}

/// What an address looks like.
pub const HOST: &str = "an address is 10.0.0.1, 10.0.0.0/8, [2001:db8::1] or *, with a port if \
                        wanted (10.0.0.1:443, [::1]:443, :443)";

/// What a port looks like.
pub const PORT: &str = "a port is a number from 0 to 65535, with or without a colon, such as :443";

/// Parses `[FAMILY:]ADDRESS[/PREFIX][:PORT]`.
pub fn host(typed: &str) -> Result<Host, String> {
    let (family, typed) = family(typed)?;
    let (address, port) = if let Some(bracketed) = typed.strip_prefix('[') {
        let Some((address, rest)) = bracketed.split_once(']') else {
            return Err("the bracket is never closed: write [2001:db8::1]:443".to_owned());
        };
        // The prefix may stand inside the brackets, as `ss` has it, or behind them.
        let (prefix, port) = rest.split_once(':').unwrap_or((rest, "*"));
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(HOST.to_owned());
        }
        (format!("{address}{prefix}"), port)
    } else {
        match typed.matches(':').count() {
            0 => (typed.to_owned(), "*"),
            1 => {
                let (address, port) = typed.split_once(':').unwrap_or((typed, "*"));
                (address.to_owned(), port)
            }
            _ => {
                return Err(
                    "IPv6 addresses stand in brackets, so that the port can be told: \
                            [2001:db8::1]:443"
                        .to_owned(),
                );
            }
        }
    };
    let port = any_or_port(port)?;
    let addresses = addresses(&address)?;
    match (family, addresses) {
        (Some(Family::Inet), Addresses::V6 { .. }) => {
            Err("inet: goes with an IPv4 address".to_owned())
        }
        (Some(Family::Inet6), Addresses::V4 { .. }) => {
            Err("inet6: goes with an IPv6 address".to_owned())
        }
        (Some(Family::Inet), Addresses::Any) => Ok(Addresses::V4 {
            network: 0,
            mask: 0,
        }),
        (Some(Family::Inet6), Addresses::Any) => Ok(Addresses::V6 {
            network: 0,
            mask: 0,
        }),
        (_, addresses) => Ok(addresses),
    }
    .map(|addresses| Host { addresses, port })
}

/// Parses a port alone: `443` or `:443`; `*` is any.
pub fn port(typed: &str) -> Result<Option<u16>, String> {
    if typed.rfind(':').is_some_and(|colon| colon > 0) {
        return Err(format!(
            "an address belongs to src or dst; here stands a port alone: {PORT}"
        ));
    }
    any_or_port(typed.strip_prefix(':').unwrap_or(typed))
}

fn any_or_port(typed: &str) -> Result<Option<u16>, String> {
    if typed == "*" {
        return Ok(None);
    }
    value::number(typed)
        .and_then(|port| u16::try_from(port).ok())
        .map(Some)
        .ok_or_else(|| format!("{PORT}; names of services are not looked up"))
}

enum Family {
    Inet,
    Inet6,
}

fn family(typed: &str) -> Result<(Option<Family>, &str), String> {
    match typed.split_once(':') {
        Some(("inet", rest)) => Ok((Some(Family::Inet), rest)),
        Some(("inet6", rest)) => Ok((Some(Family::Inet6), rest)),
        Some((other @ ("unix" | "link" | "netlink" | "vsock" | "tipc" | "xdp"), _)) => Err(
            format!("halfopen knows TCP over IPv4 and IPv6 only, not {other}"),
        ),
        _ => Ok((None, typed)),
    }
}

fn addresses(typed: &str) -> Result<Addresses, String> {
    if matches!(typed, "" | "*" | "any" | "all") {
        return Ok(Addresses::Any);
    }
    let (address, prefix) = match typed.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (typed, None),
    };
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        let prefix = length(prefix, 128)?;
        return Ok(match address.to_ipv4_mapped() {
            Some(mapped) if prefix >= 96 => v4(mapped, prefix - 96),
            _ => v6(address, prefix),
        });
    }
    let address = match prefix {
        Some(_) => whole_or_beginning(address),
        None => address.parse().ok(),
    };
    let Some(address) = address else {
        return Err(format!("{HOST}; names of hosts are not looked up"));
    };
    Ok(v4(address, length(prefix, 32)?))
}

/// `10` in `10/8`: where a prefix follows, the numbers left out at the end are 0.
fn whole_or_beginning(typed: &str) -> Option<Ipv4Addr> {
    let missing = 3_usize.checked_sub(typed.matches('.').count())?;
    format!("{typed}{}", ".0".repeat(missing)).parse().ok()
}

fn length(prefix: Option<&str>, longest: u32) -> Result<u32, String> {
    let Some(prefix) = prefix else {
        return Ok(longest);
    };
    value::number(prefix)
        .and_then(|length| u32::try_from(length).ok())
        .filter(|length| *length <= longest)
        .ok_or_else(|| format!("the prefix is a number from 0 to {longest}"))
}

fn v4(address: Ipv4Addr, prefix: u32) -> Addresses {
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Addresses::V4 {
        network: address.to_bits() & mask,
        mask,
    }
}

fn v6(address: Ipv6Addr, prefix: u32) -> Addresses {
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    Addresses::V6 {
        network: address.to_bits() & mask,
        mask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_sockets_are_meant() {
        for (typed, socket, expected) in [
            ("10.0.0.1", "10.0.0.1:443", true),
            ("10.0.0.1", "10.0.0.2:443", false),
            ("10.0.0.1:443", "10.0.0.1:443", true),
            ("10.0.0.1:443", "10.0.0.1:80", false),
            ("[10.0.0.1]:443", "10.0.0.1:443", true),
            ("10.0.0.0/8", "10.255.0.1:1", true),
            ("10.0.0.0/8", "11.0.0.1:1", false),
            ("10.9.9.9/8:1", "10.255.0.1:1", true),
            ("193.233.7/24", "193.233.7.9:1", true),
            ("10/8", "10.1.2.3:1", true),
            ("0.0.0.0/0", "1.2.3.4:1", true),
            ("0/0", "[2001:db8::1]:1", false),
            // A socket of IPv6 that speaks IPv4.
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:1", true),
            ("10.0.0.0/8", "[::ffff:11.1.2.3]:1", false),
            ("10.0.0.0/8", "[::10.1.2.3]:1", false),
            ("[::ffff:10.0.0.0]/104", "[::ffff:10.1.2.3]:1", true),
            ("[::ffff:10.0.0.0]/104", "10.1.2.3:1", true),
            ("[::]/0", "[::ffff:10.1.2.3]:1", true),
            ("[::]/0", "10.1.2.3:1", false),
            ("[2001:db8::1]", "[2001:db8::1]:5", true),
            ("[2001:db8::/32]:5", "[2001:db8:ffff::1]:5", true),
            ("[2001:db8::]/32:5", "[2001:db8:ffff::1]:5", true),
            ("[2001:db8::]/32:5", "[2001:db9::1]:5", false),
            ("[::1]:*", "[::1]:9", true),
            (":443", "[::1]:443", true),
            ("*:443", "1.2.3.4:443", true),
            ("*", "1.2.3.4:443", true),
            ("*:*", "1.2.3.4:443", true),
            ("any", "1.2.3.4:443", true),
            ("inet:*:443", "1.2.3.4:443", true),
            ("inet:*:443", "[2001:db8::1]:443", false),
            ("inet6:[::1]", "[::1]:443", true),
            ("inet6::443", "[::1]:443", true),
        ] {
            let host = host(typed).unwrap();
            assert_eq!(
                host.holds(socket.parse().unwrap()),
                expected,
                "{typed} {socket}"
            );
        }
    }

    #[test]
    fn what_is_no_host() {
        for (typed, expected) in [
            ("example.com", "not looked up"),
            ("localhost:22", "not looked up"),
            ("10.0.0.1:https", "not looked up"),
            ("10.0.0", "10.0.0.1"),
            ("10.0.0.0.0/8", "10.0.0.1"),
            ("10.0.0.256", "10.0.0.1"),
            ("10.0.0.1/33", "from 0 to 32"),
            ("10.0.0.1/", "from 0 to 32"),
            ("10.0.0.1/-1", "from 0 to 32"),
            ("10.0.0.1/8/8", "from 0 to 32"),
            ("[::1]/129", "from 0 to 128"),
            ("[::1/64]/64", "from 0 to 128"),
            ("::1", "in brackets"),
            ("2001:db8::/32", "in brackets"),
            ("[::1", "never closed"),
            ("[::1]443", "10.0.0.1"),
            ("[fe80::1%eth0]", "10.0.0.1"),
            ("10.0.0.1:65536", "65535"),
            ("10.0.0.1:-1", "65535"),
            ("10.0.0.1:", "65535"),
            ("vsock:1", "TCP over IPv4"),
            ("inet:[::1]", "IPv4"),
            ("inet6:10.0.0.1", "IPv6"),
            ("[", "never closed"),
        ] {
            let error = host(typed).unwrap_err();
            assert!(error.contains(expected), "{typed}: {error}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(port("443"), Ok(Some(443)));
        assert_eq!(port(":443"), Ok(Some(443)));
        assert_eq!(port("0"), Ok(Some(0)));
        assert_eq!(port("*"), Ok(None));
        assert_eq!(port(":*"), Ok(None));
        for (typed, expected) in [
            ("", "from 0 to 65535"),
            (":", "from 0 to 65535"),
            ("65536", "from 0 to 65535"),
            ("-1", "from 0 to 65535"),
            ("::1", "src or dst"),
            ("10.0.0.1:22", "src or dst"),
            (":https", "not looked up"),
        ] {
            let error = port(typed).unwrap_err();
            assert!(error.contains(expected), "{typed}: {error}");
        }
    }
}
