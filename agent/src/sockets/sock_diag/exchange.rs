//! One dump over netlink: a socket, a request, and answers until the kernel says that was all.
//!
//! # Invariants
//! A dump that was interrupted is an error, not a shorter table.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::retry_on_intr,
    net::{
        self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        sockopt::{self, Timeout},
    },
};

use super::message::{self, Answer, Progress};

/// The most that the kernel puts into one datagram of a dump is a little less
/// (netlink_recvmsg() in net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 * 1024;
/// Readings before a table that changes under each of them is given up.
const READINGS: u32 = 3;
/// The kernel makes each datagram while it is asked for it: it never has to be waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// AF_INET.
    Ipv4,
    /// AF_INET6, those that speak IPv4 included.
    Ipv6,
}

impl Family {
    const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }
}

/// What `convert` makes of everything the kernel tells of the TCP sockets of this family in the
/// calling thread's network namespace.
///
/// # Errors
/// When the kernel refuses, its answer cannot be understood, or [`READINGS`] were torn.
pub fn dump<T>(family: Family, convert: impl Fn(&Answer) -> Option<T>) -> io::Result<Vec<T>> {
    patiently(|| read(family, &convert))
}

/// Reads anew as long as what was read is torn.
fn patiently<T>(mut read: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    for _ in 0..READINGS {
        if let Some(whole) = read()? {
            return Ok(whole);
        }
    }
    Err(io::Error::other(format!(
        "the kernel's table of TCP sockets is torn: it changed under {READINGS} readings over \
         sock_diag in a row"
    )))
}

/// One reading; `None` if it is torn. Its socket goes with it, and with that the rest of the answer.
fn read<T>(family: Family, convert: &impl Fn(&Answer) -> Option<T>) -> io::Result<Option<Vec<T>>> {
    let socket = open().map_err(|error| failed("opening a sock_diag socket", error))?;
    retry_on_intr(|| {
        net::send(
            &socket,
            &message::request(family.number()),
            SendFlags::empty(),
        )
    })
    .map_err(|error| failed("asking for TCP sockets over sock_diag", error))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, whole) =
            retry_on_intr(|| net::recv(&socket, &mut buffer[..], RecvFlags::TRUNC))
                .map_err(|error| failed("reading TCP sockets over sock_diag", error))?;
        let datagram = buffer.get(..length).unwrap_or_default();
        if whole > length || datagram.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a datagram of sock_diag has {whole} bytes, of which {length} were read"),
            ));
        }
        match message::read(datagram, |answer| found.extend(convert(&answer)))? {
            Progress::Open => {}
            Progress::Complete => return Ok(Some(found)),
            Progress::Torn => return Ok(None),
        }
    }
}

fn open() -> rustix::io::Result<OwnedFd> {
    let socket = net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    // To the kernel, so that nobody else can answer.
    net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    Ok(socket)
}

fn failed(what: &str, error: rustix::io::Errno) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_reading_is_repeated_and_then_reported() {
        let check = |torn: u32, expected: Option<u32>| {
            let mut readings = 0;
            let read = patiently(|| {
                readings += 1;
                Ok((readings > torn).then_some(readings))
            });
            assert_eq!(read.as_ref().ok(), expected.as_ref(), "{torn}");
            assert_eq!(readings, READINGS.min(torn + 1), "{torn}");
            if let Err(error) = read {
                assert!(error.to_string().contains("torn"), "{error}");
            }
        };
        check(0, Some(1));
        check(2, Some(3));
        check(3, None);
        check(9, None);
    }

    #[test]
    fn a_refusal_is_not_repeated() {
        let mut readings = 0;
        let refused: io::Result<()> = patiently(|| {
            readings += 1;
            Err(io::ErrorKind::PermissionDenied.into())
        });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(readings, 1);
    }
}
