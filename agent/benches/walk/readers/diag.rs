//! A dump of the TCP sockets of IPv4 by netlink's sock_diag, without extensions.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use super::way::{SocketsSeen, Way};

// Of include/uapi/linux/{netlink,sock_diag,inet_diag}.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST | NLM_F_DUMP.
const FLAGS: u16 = 0x301;
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Every state.
const STATES: u32 = 0xfff;
/// The kernel fills as much as it is given, up to 32 KiB.
const BUFFER: usize = 1 << 18;

/// Nothing to be ready for.
pub struct Diag;

impl Way for Diag {
    fn read(&mut self) -> Result<SocketsSeen> {
        let protocol = Protocol::from(libc::NETLINK_SOCK_DIAG);
        let mut socket = Socket::new(libc::AF_NETLINK.into(), Type::RAW, Some(protocol))
            .context("opening a netlink socket")?;
        socket.write_all(&request()).context("asking sock_diag")?;
        let mut buffer = vec![0; BUFFER];
        let mut sockets = 0;
        loop {
            let read = socket.read(&mut buffer).context("reading from sock_diag")?;
            let mut rest = &buffer[..read];
            while let Some(kind) = message(&mut rest) {
                match kind {
                    SOCK_DIAG_BY_FAMILY => sockets += 1,
                    NLMSG_DONE => return Ok(SocketsSeen::from(sockets)),
                    NLMSG_ERROR => bail!("sock_diag refused"),
                    other => bail!("sock_diag sent a message of kind {other}"),
                }
            }
        }
    }
}

/// The kind of the next message, which is taken from `rest`.
fn message(rest: &mut &[u8]) -> Option<u16> {
    let length = rest.first_chunk().copied().map(u32::from_ne_bytes)?;
    let kind = rest.get(4..)?.first_chunk().copied()?;
    let end = usize::try_from(length).ok()?.next_multiple_of(4);
    *rest = rest.get(end.max(HEADER)..).unwrap_or_default();
    Some(u16::from_ne_bytes(kind))
}

fn request() -> Vec<u8> {
    let length = u32::try_from(HEADER + REQUEST).unwrap_or(0);
    let mut request = Vec::with_capacity(HEADER + REQUEST);
    request.extend(length.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    // Sequence number and port: nothing else is asked here.
    request.extend([0; 8]);
    let inet = u8::try_from(i32::from(Domain::IPV4)).unwrap_or(0);
    let tcp = u8::try_from(i32::from(Protocol::TCP)).unwrap_or(0);
    request.extend([inet, tcp, 0, 0]);
    request.extend(STATES.to_ne_bytes());
    request.resize(HEADER + REQUEST, 0);
    request
}
