//! How the stress test's sockets are opened, and what is asked of them.

use std::{io, net::SocketAddr};

use socket2::Socket;

use crate::{
    net::{
        open::{limit_reads, stream},
        tcp_info,
    },
    wait::LIMIT,
};

/// Far more than wait at any moment: a full queue would drop what the generator counts on.
const BACKLOG: i32 = 4096;

/// Small enough to be filled quickly: a window of some segments.
const RECEIVE_BYTES: usize = 8 << 10;
/// More than the window, so that some remains unsent.
const SEND_BYTES: usize = 32 << 10;

fn small(socket: &Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.set_send_buffer_size(SEND_BYTES)
}

/// Listens; accepted sockets inherit small buffers.
pub(super) fn listen(at: SocketAddr, is_small: bool) -> io::Result<Socket> {
    let socket = stream(at)?;
    if is_small {
        small(&socket)?;
    }
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// Connects.
pub(super) fn connect(from: SocketAddr, to: SocketAddr, is_small: bool) -> io::Result<Socket> {
    let socket = stream(to)?;
    if is_small {
        small(&socket)?;
    }
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// What TCP_INFO has of an end that writes (struct tcp_info, include/uapi/linux/tcp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SendState {
    /// Segments sent and not acknowledged.
    pub(super) in_flight: u32,
    /// Bytes written and not sent.
    pub(super) unsent: u32,
    /// What the peer has room for; 0 where the kernel does not have it (before 5.4).
    pub(super) window: u32,
}

impl SendState {
    /// Nothing is on the way, and nothing can be sent: only a window probe can follow.
    pub(super) const fn is_blocked(self) -> bool {
        self.in_flight == 0 && self.unsent > 0 && self.window == 0
    }
}

pub(super) fn send_state(socket: &Socket) -> io::Result<SendState> {
    const IN_FLIGHT: usize = 24;
    const UNSENT: usize = 144;
    const WINDOW: usize = 228;
    let info = tcp_info::read(socket)?;
    Ok(SendState {
        in_flight: info.word(IN_FLIGHT),
        unsent: info.word(UNSENT),
        window: info.word(WINDOW),
    })
}

/// Whether its connection has come to its end: closed now, it adds to no count.
pub(super) fn has_ended(socket: &Socket) -> io::Result<bool> {
    const STATE: usize = 0;
    const TCP_CLOSE: u8 = 7;
    Ok(tcp_info::read(socket)?.byte(STATE) == TCP_CLOSE)
}

/// Whether the latest segment had to be sent again and is unanswered (`tcpi_retransmits`).
pub(super) fn is_unanswered(socket: &Socket) -> io::Result<bool> {
    const RETRANSMITS: usize = 2;
    Ok(tcp_info::read(socket)?.byte(RETRANSMITS) != 0)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::Ipv4Addr, thread, time::Duration};

    use super::*;

    #[test]
    fn a_peer_that_does_not_read_blocks_the_writer() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = listen(any, true).unwrap();
        let to = listener.local_addr().unwrap().as_socket().unwrap();
        let client = connect(any, to, true).unwrap();
        let _server = listener.accept().unwrap();
        assert!(!send_state(&client).unwrap().is_blocked());
        client.set_nonblocking(true).unwrap();
        let blocked = (0..200).any(|_| {
            while (&client).write(&[0; 4096]).is_ok() {}
            thread::sleep(Duration::from_millis(50));
            send_state(&client).unwrap().is_blocked()
        });
        assert!(blocked, "{:?}", send_state(&client));
    }
}
