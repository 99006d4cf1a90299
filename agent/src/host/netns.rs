//! The cookie of the network namespace the calling thread is in.

#![allow(unsafe_code, reason = "SO_NETNS_COOKIE has no safe wrapper")]

use std::{
    io,
    mem::size_of_val,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

/// `SO_NETNS_COOKIE` (include/uapi/asm-generic/socket.h), Linux 5.14+.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// `net->net_cookie`, never used twice.
///
/// # Errors
/// When the kernel does not tell, or no socket can be made.
pub fn cookie() -> io::Result<u64> {
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).map_err(io::Error::other)?;
    // SAFETY: `cookie` and `length` live through the call, and `length` is the size of `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}
