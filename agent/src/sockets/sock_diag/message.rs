//! The messages of sock_diag: the request for every TCP socket of a family, and the kernel's answers.
//!
//! # Invariants
//! No length is trusted: a message that is not whole is an error.

use std::{io, mem::offset_of};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN, NetlinkBuffer, NlasIterator,
};
use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// SOCK_DIAG_BY_FAMILY (include/uapi/linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// IPPROTO_TCP.
const TCP: u8 = 6;
/// Every state there is, requests included, which the kernel takes for SYN-RECEIVED. Not all bits:
/// bit 13 (TCP_BOUND_INACTIVE, Linux 6.8+) makes the kernel walk the table of bound sockets without
/// a break.
const STATES: u32 = 0xfff;
/// A struct nlmsghdr.
const ENVELOPE: usize = 16;
/// Attributes (include/uapi/linux/inet_diag.h). The first two must be asked for.
const INFO: u16 = 2;
const MEMORY: u16 = 7;
const UPPER_LAYER: u16 = 19;
const CGROUP: u16 = 21;
/// INET_ULP_INFO_NAME, inside [`UPPER_LAYER`].
const UPPER_LAYER_NAME: u16 = 1;
const EXTENSIONS: u8 = 1 << (INFO - 1) | 1 << (MEMORY - 1);

/// `struct inet_diag_sockid`: who a socket is.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Endpoints {
    /// In network order.
    pub local_port: [u8; 2],
    /// In network order.
    pub remote_port: [u8; 2],
    /// An IPv4 address takes the first four bytes.
    pub local: [u8; 16],
    /// Likewise.
    pub remote: [u8; 16],
    /// Interface it is bound to.
    pub interface: u32,
    /// Low half first.
    pub cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    ends: Endpoints,
}

/// `struct inet_diag_msg`: what is told of each socket.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Facts {
    /// AF_INET or AF_INET6.
    pub family: u8,
    /// `sk_state`; 3 for a request, `tw_substate` for a TIME_WAIT.
    pub state: u8,
    /// Which timer runs: see [`super::convert`].
    pub timer: u8,
    /// `icsk_retransmits` or `icsk_probes_out`, by the timer; `num_retrans` for a request.
    pub retransmits: u8,
    /// Who it is.
    pub ends: Endpoints,
    /// Until the timer fires, ms.
    pub expires_ms: u32,
    /// Bytes not read; for a listener, connections not accepted (tcp_diag_get_info()).
    pub receive_queue: u32,
    /// `write_seq - snd_una`; for a listener, its backlog.
    pub send_queue: u32,
    /// Owner; 0 without an inode up to Linux 6.16.
    pub uid: u32,
    /// Inode of the application's descriptor, 0 if no application holds it.
    pub inode: u32,
}

/// The part of `struct tcp_info` (include/uapi/linux/tcp.h) that is used; complete since Linux 5.4.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Info {
    state: [u8; 2],
    /// `icsk_retransmits`.
    pub retransmits: u8,
    /// `icsk_probes_out`.
    pub probes: u8,
    /// `icsk_backoff`.
    pub backoff: u8,
    options: [u8; 3],
    /// `icsk_rto`, µs.
    pub rto_us: u32,
    sizes: [u32; 3],
    /// `packets_out`.
    pub unacked: u32,
    lost: [u32; 4],
    /// Since data was last sent, ms.
    pub last_data_sent_ms: u32,
    last_ack_sent: u32,
    /// Since data was last received, ms.
    pub last_data_received_ms: u32,
    /// Since the last acceptable ACK, ms.
    pub last_ack_received_ms: u32,
    path: [u32; 2],
    /// Smoothed, µs; 0 if never measured.
    pub rtt_us: u32,
    rates: [u32; 14],
    /// `bytes_received`.
    pub bytes_received: u64,
    segments: [u32; 2],
    /// `write_seq - snd_nxt`.
    pub unsent: u32,
    more_rates: [u32; 13],
    /// `bytes_sent`.
    pub bytes_sent: u64,
    totals: [u32; 5],
    /// Bytes the peer is ready to receive.
    pub send_window: u32,
}

/// INET_DIAG_SKMEMINFO as far as it is used (SK_MEMINFO_*, include/uapi/linux/sock_diag.h), bytes. The
/// kernel's own counters are signed, and one of them may be below 0 for a moment.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Memory {
    /// `sk_rmem_alloc`.
    pub received: i32,
    receive_limit: i32,
    in_devices: i32,
    send_limit: i32,
    /// `sk_forward_alloc`.
    pub reserved: i32,
    /// `sk_wmem_queued`.
    pub queued: i32,
    /// `sk_omem_alloc`.
    pub options: i32,
}

const _: () = assert!(size_of::<Endpoints>() == 48);
const _: () = assert!(size_of::<Request>() == 56);
const _: () = assert!(size_of::<Facts>() == 72);
const _: () = assert!(offset_of!(Info, rto_us) == 8);
const _: () = assert!(offset_of!(Info, unacked) == 24);
const _: () = assert!(offset_of!(Info, last_data_sent_ms) == 44);
const _: () = assert!(offset_of!(Info, last_ack_received_ms) == 56);
const _: () = assert!(offset_of!(Info, rtt_us) == 68);
const _: () = assert!(offset_of!(Info, bytes_received) == 128);
const _: () = assert!(offset_of!(Info, unsent) == 144);
const _: () = assert!(offset_of!(Info, bytes_sent) == 200);
const _: () = assert!(offset_of!(Info, send_window) == 228);
const _: () = assert!(offset_of!(Memory, options) == 24);

/// What the kernel tells of one socket.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    /// What it tells of each.
    pub facts: Facts,
    /// Of full sockets alone.
    pub info: Option<Info>,
    /// Of full sockets alone.
    pub memory: Option<Memory>,
    /// Id of its cgroup (v2): of full sockets, Linux 5.9+.
    pub cgroup: Option<u64>,
    /// An MPTCP subflow; told to anybody from Linux 6.15 on, before to CAP_NET_ADMIN alone.
    pub mptcp: bool,
}

/// Where a dump stands after one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Open,
    /// That was all.
    Complete,
    /// The tables changed under the kernel's reader: something may be missing.
    Torn,
}

/// The request for every TCP socket of this address family (AF_INET or AF_INET6).
pub fn request(family: u8) -> Vec<u8> {
    let body = Request {
        family,
        protocol: TCP,
        extensions: EXTENSIONS,
        padding: 0,
        states: STATES,
        ends: Endpoints::default(),
    };
    let mut bytes = vec![0; ENVELOPE];
    bytes.extend(body.as_bytes());
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut envelope = NetlinkBuffer::new(&mut bytes);
    envelope.set_length(length);
    envelope.set_message_type(BY_FAMILY);
    envelope.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    bytes
}

/// Reads one datagram; `each` gets what it tells of sockets.
///
/// # Errors
/// When the kernel refuses, or the datagram is not what it should be.
pub fn read(datagram: &[u8], mut each: impl FnMut(Answer)) -> io::Result<Progress> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(malformed)?;
        if message.flags() & NLM_F_DUMP_INTR != 0 {
            return Ok(Progress::Torn);
        }
        match message.message_type() {
            BY_FAMILY => each(answer(message.payload())?),
            NLMSG_DONE => return done(message.payload()).map(|()| Progress::Complete),
            NLMSG_ERROR => done(message.payload())?,
            NLMSG_NOOP => {}
            NLMSG_OVERRUN => return Ok(Progress::Torn),
            other => return Err(malformed(format!("a message of the unknown type {other}"))),
        }
        // The last one needs no padding.
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        let next = length.checked_next_multiple_of(NLMSG_ALIGNTO.into());
        rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
    }
    Ok(Progress::Open)
}

fn answer(payload: &[u8]) -> io::Result<Answer> {
    let (facts, attributes) = Facts::read_from_prefix(payload)
        .map_err(|_| malformed(format!("{} bytes about a socket", payload.len())))?;
    let mut answer = Answer {
        facts,
        ..Answer::default()
    };
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(malformed)?;
        let value = attribute.value();
        match attribute.kind() {
            INFO => answer.info = prefix(value),
            MEMORY => answer.memory = prefix(value),
            CGROUP => answer.cgroup = prefix(value),
            UPPER_LAYER => answer.mptcp = is_mptcp(value)?,
            _ => {}
        }
    }
    Ok(answer)
}

/// Longer on newer kernels; shorter on those that do not tell enough.
fn prefix<T: FromBytes>(value: &[u8]) -> Option<T> {
    T::read_from_prefix(value).ok().map(|(value, _)| value)
}

fn is_mptcp(attributes: &[u8]) -> io::Result<bool> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(malformed)?;
        if attribute.kind() == UPPER_LAYER_NAME {
            return Ok(attribute.value().strip_suffix(&[0]) == Some(b"mptcp"));
        }
    }
    Ok(false)
}

/// The end, or an acknowledgement: both begin with an error number, negative, 0 for none.
fn done(payload: &[u8]) -> io::Result<()> {
    let number: i32 = prefix(payload).ok_or_else(|| malformed("an end without a number"))?;
    match number.saturating_neg() {
        ..=0 => Ok(()),
        number => Err(refused(io::Error::from_raw_os_error(number))),
    }
}

fn refused(error: io::Error) -> io::Error {
    // Without a handler for TCP the kernel answers one of these, depending on its version. Compared
    // as numbers: Errno panics at one that is out of range.
    let unknown = [Errno::NOENT.raw_os_error(), Errno::INVAL.raw_os_error()];
    let why = if error.raw_os_error().is_some_and(|it| unknown.contains(&it)) {
        "the kernel has no TCP socket diagnosis: its module tcp_diag is not loaded"
    } else {
        "the kernel refuses to list TCP sockets over sock_diag"
    };
    io::Error::new(error.kind(), format!("{why}: {error}"))
}

fn malformed(why: impl ToString) -> io::Error {
    let why = format!(
        "the kernel's answer over sock_diag is malformed: {}",
        why.to_string()
    );
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
