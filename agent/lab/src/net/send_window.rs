//! The window that a peer has announced, as its sender remembers it.

use std::{io, os::fd::AsRawFd as _};

use nix::{errno::Errno, libc};
use socket2::Socket;

use crate::{Error, net::open::set_option};

/// TCP_REPAIR_WINDOW, TCP_REPAIR_ON and TCP_REPAIR_OFF_NO_WP (include/uapi/linux/tcp.h): the last sends no window
/// probe.
const TCP_REPAIR_WINDOW: libc::c_int = 29;
const ON: libc::c_int = 1;
const OFF_UNPROBED: libc::c_int = -1;

/// struct tcp_repair_window.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct RepairWindow {
    snd_wl1: u32,
    snd_wnd: u32,
    max_window: u32,
    rcv_wnd: u32,
    rcv_wup: u32,
}

/// Closes it, as a peer does that takes its announcement back (RFC 9293, 3.8.6): Linux never does that by itself.
/// What is in flight stays there.
///
/// # Errors
/// Without CAP_NET_ADMIN.
pub fn close(socket: &Socket) -> Result<(), Error> {
    set(socket, 0).map_err(|source| Error::needs_root("close a window by TCP_REPAIR", source))
}

/// Opens a closed one by this number of bytes, of which its peer knows nothing: what is sent next is beyond what the peer
/// takes, which acknowledges none of it.
///
/// # Errors
/// Without CAP_NET_ADMIN.
pub fn open(socket: &Socket, bytes: u32) -> Result<(), Error> {
    set(socket, bytes).map_err(|source| Error::needs_root("open a window by TCP_REPAIR", source))
}

fn set(socket: &Socket, bytes: u32) -> io::Result<()> {
    let set = || {
        let window = RepairWindow {
            snd_wnd: bytes,
            ..window(socket)?
        };
        set_option(socket, TCP_REPAIR_WINDOW, window)
    };
    set_option(socket, libc::TCP_REPAIR, ON)?;
    set()?;
    set_option(socket, libc::TCP_REPAIR, OFF_UNPROBED)
}

fn window(socket: &Socket) -> io::Result<RepairWindow> {
    let mut window = RepairWindow::default();
    let mut length = libc::socklen_t::try_from(size_of::<RepairWindow>()).unwrap_or_default();
    // SAFETY: the descriptor is open as long as the socket, and the kernel writes `length` bytes at most, which
    // are all the value's own.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_REPAIR_WINDOW,
            (&raw mut window).cast(),
            &raw mut length,
        )
    };
    Ok(Errno::result(result).map(|_| window)?)
}
