//! Kills one connection of a private namespace as an administrator does with `ss -K`: SOCK_DESTROY over
//! sock_diag.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

/// include/uapi/linux/sock_diag.h.
const SOCK_DESTROY: u16 = 21;
/// include/uapi/linux/netlink.h: NLMSG_ERROR, and NLM_F_REQUEST | NLM_F_ACK.
const NLMSG_ERROR: u16 = 2;
const REQUEST_ACK: u16 = 1 | 4;
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const ENOENT: i32 = 2;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// Kills the connection between these ends, in the calling thread's namespace.
pub fn destroy(local: SocketAddr, remote: SocketAddr) -> Result<(), Error> {
    let failed = |source| {
        Error::needs_root(
            format!("destroy the connection {local} to {remote}"),
            source,
        )
    };
    let mut socket = Socket::new(
        Domain::from(AF_NETLINK),
        Type::DGRAM,
        Some(Protocol::from(NETLINK_SOCK_DIAG)),
    )
    .map_err(failed)?;
    socket.write_all(&request(local, remote)).map_err(failed)?;
    let mut answer = [0; 512];
    let length = socket.read(&mut answer).map_err(failed)?;
    match errno(&answer[..length]) {
        Some(0) => Ok(()),
        Some(EOPNOTSUPP) => Err(Error::Unsupported(
            "the kernel was built without INET_DIAG_DESTROY".to_owned(),
        )),
        // Without a handler for TCP the kernel answers one of these, depending on its version.
        Some(ENOENT | EINVAL) => Err(Error::Unsupported(
            "the kernel has no TCP socket diagnosis: its module tcp_diag is not loaded".to_owned(),
        )),
        Some(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
        None => Err(Error::Format {
            what: "the kernel's answer to SOCK_DESTROY".to_owned(),
            why: format!("{length} bytes that are no acknowledgement"),
        }),
    }
}

/// struct nlmsghdr, then struct inet_diag_req_v2 (include/uapi/linux/inet_diag.h).
fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut body = vec![family, IPPROTO_TCP, 0, 0];
    body.extend(u32::MAX.to_ne_bytes()); // every state
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    body.extend(address(local.ip()));
    body.extend(address(remote.ip()));
    body.extend(0_u32.to_ne_bytes()); // any interface
    body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE, twice
    let mut message = Vec::new();
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence and sender
    message.extend(body);
    message
}

fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The error number of an acknowledgement, 0 if it is one of success.
fn errno(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(-error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_kernels_size() {
        for ends in [
            ("192.0.2.1:1", "192.0.2.2:2"),
            ("[fd00::1]:1", "[fd00::2]:2"),
        ] {
            let bytes = request(ends.0.parse().unwrap(), ends.1.parse().unwrap());
            assert_eq!(bytes.len(), 16 + 56);
            assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
            assert_eq!(bytes[24..28], [0, 1, 0, 2], "ports in network order");
        }
    }

    #[test]
    fn an_acknowledgement_tells_its_error() {
        let mut answer = vec![0; 36];
        answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        assert_eq!(errno(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-EOPNOTSUPP).to_ne_bytes());
        assert_eq!(errno(&answer), Some(EOPNOTSUPP));
        assert_eq!(errno(&answer[..10]), None);
    }
}
