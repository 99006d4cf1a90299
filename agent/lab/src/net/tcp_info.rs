//! What the kernel tells a socket's own process of it: TCP_INFO (struct tcp_info, include/uapi/linux/tcp.h).

use std::{io, os::fd::AsRawFd as _, time::Duration};

use nix::{errno::Errno, libc};
use socket2::Socket;

/// TCP_INFO; what a kernel does not have stays 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpInfo([u8; 512]);

/// Reads it.
pub(crate) fn read(socket: &Socket) -> io::Result<TcpInfo> {
    let mut info = [0_u8; 512];
    let mut length = libc::socklen_t::try_from(info.len()).unwrap_or_default();
    // SAFETY: the descriptor is open as long as the socket; the kernel writes at most `length` bytes
    // into the buffer, which is that long, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    Ok(TcpInfo(info))
}

impl TcpInfo {
    /// The field of one byte at this offset.
    pub(crate) const fn byte(&self, offset: usize) -> u8 {
        self.0[offset]
    }

    /// The field of four bytes at this offset.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        u32::from_ne_bytes([0, 1, 2, 3].map(|byte| self.0[offset + byte]))
    }

    /// Segments sent and not acknowledged.
    pub(crate) fn in_flight(&self) -> u32 {
        self.word(24)
    }

    /// `lastsnd` of ss: since data was sent, of jiffy grain (`lsndtime`).
    pub(crate) fn since_data_sent(&self) -> Duration {
        self.millis(44)
    }

    /// `lastrcv` of ss: since data came (`lrcvtime`).
    pub(crate) fn since_data_received(&self) -> Duration {
        self.millis(52)
    }

    /// `lastack` of ss: since an acknowledgement came that the connection could use (`rcv_tstamp`).
    pub(crate) fn since_ack_received(&self) -> Duration {
        self.millis(56)
    }

    fn millis(&self, offset: usize) -> Duration {
        Duration::from_millis(self.word(offset).into())
    }
}
