//! What the iterator over descriptors reports of each that is a TCP socket.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One descriptor of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketHolder {
    /// Address of the `struct sock_common`: [`crate::Socket::sock`].
    pub sock: u64,
    /// The process, as the reader's PID namespace numbers it.
    pub pid: u32,
    /// Its number for the descriptor.
    pub fd: u32,
    /// `comm` of the process's first thread: any bytes, up to the first zero.
    pub name: [u8; 16],
    /// `skc_num`: local port, host order.
    pub local_port: u16,
    /// `skc_dport`: remote port, host order; both ports show whether the socket is still the one that
    /// a walk met there.
    pub remote_port: u16,
    /// Zero.
    pub padding: [u8; 4],
    /// Id of the cgroup (v2) that the process is in, 0 if it cannot be read.
    pub cgroup: u64,
}

const _: () = assert!(size_of::<SocketHolder>() == 48);
