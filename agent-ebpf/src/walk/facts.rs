//! What is read of one socket: summed where it has nothing outstanding, else in full.
//! It must never judge: what is summed differs in nothing but address, port and cookie.

use aya_ebpf::helpers::bpf_jiffies64;
use halfopen_common::{ABSENT, Class, Quick, Socket, Walk, direction, flag, state, table};

use super::{Cursor, HEADS, SCRATCH, copy, hand_out, quick, sum::sum};
use crate::{
    maps::kernel,
    read::Reader,
    sock::{AF_INET6, Sock, mapped},
};

/// What is too large for the stack.
#[repr(C)]
pub struct Scratch {
    pub(super) heads: [u64; HEADS],
    pub(super) copies: [u8; Quick::ROOM],
    socket: Socket,
    pub(super) class: Class,
}

/// What came of one socket.
pub enum Outcome {
    /// It was summed, handed out, or is none of ours; the next node of its chain.
    Read(u64),
    /// Some of its memory could not be read.
    Unreadable,
    /// It could not be handed out.
    NoRoom,
}

impl Scratch {
    /// A field of the `sock_common` that was copied: it begins the head.
    #[inline(always)]
    pub(super) fn common<T: Copy>(&self, offset: u32) -> T {
        self.copied(offset)
    }

    /// A field of what was copied.
    #[inline(always)]
    pub(super) fn copied<T: Copy>(&self, position: u32) -> T {
        let start = self.copies.as_ptr();
        // SAFETY: the agent's plan has every position within the copies.
        let field = unsafe { start.add(position as usize) };
        // SAFETY: as above; the types asked for are plain numbers.
        unsafe { field.cast::<T>().read_unaligned() }
    }
}

/// Reads one socket.
#[inline(always)]
pub fn visit(sock: u64, cursor: &mut Cursor, walk: &mut Walk) -> Outcome {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return Outcome::Unreadable;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let scratch = unsafe { &mut *scratch };
    let mut reader = Reader::of(sock);
    if walk.sums != 0 {
        // Before the head, which depends on nothing else and is the longest: so the processor waits
        // for the memory of several at once. Of what is no full socket this is not looked at.
        copy!(reader, scratch, always, 0, [0, 1, 2, 3, 4, 5]);
    }
    let is_copied = walk.sums != 0 && reader.ok();
    let mut reader = Reader::of(sock);
    reader.bytes(scratch.copies.as_mut_ptr(), 0, quick!(head));
    if !reader.ok() {
        return Outcome::Unreadable;
    }
    let next: u64 = scratch.common(kernel!(node));
    let hash: u32 = scratch.common(kernel!(hash));
    if walk.table == table::ESTABLISHED && hash & walk.mask != walk.bucket {
        // It has gone over to another chain, where it is found.
        return Outcome::Read(next);
    }
    let net: u64 = scratch.common(kernel!(net));
    if !meet(net, cursor, walk) {
        return Outcome::Unreadable;
    }
    if walk.netns != 0 && walk.netns != cursor.inum {
        return Outcome::Read(next);
    }
    let state: u8 = scratch.common(kernel!(state));
    if state == state::ESTABLISHED && is_copied && sum(sock, scratch, cursor, walk) {
        walk.found += 1;
        return Outcome::Read(next);
    }
    if !read_all(sock, net, cursor.inum, scratch) {
        return Outcome::Unreadable;
    }
    if !hand_out(&scratch.socket) {
        return Outcome::NoRoom;
    }
    walk.found += 1;
    Outcome::Read(next)
}

/// Reads one socket, wherever it is, and hands it out; `false` when that cannot be done.
#[inline(always)]
pub fn tell(sock: u64) -> bool {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let scratch = unsafe { &mut *scratch };
    let mut reader = Reader::of(sock);
    reader.bytes(scratch.copies.as_mut_ptr(), 0, kernel!(common_size));
    if !reader.ok() {
        return false;
    }
    let net: u64 = scratch.common(kernel!(net));
    let mut inum = 0_u32;
    let mut reader = Reader::of(net);
    reader.field(&raw mut inum, kernel!(net_inum));
    reader.ok() && read_all(sock, net, inum, scratch) && hand_out(&scratch.socket)
}

/// Everything of one socket, whose `sock_common` was copied.
#[inline(always)]
fn read_all(sock: u64, net: u64, inum: u32, scratch: &mut Scratch) -> bool {
    let state: u8 = scratch.common(kernel!(state));
    scratch.socket = zerocopy::transmute!([0_u8; size_of::<Socket>()]);
    scratch.socket.net.inum = inum;
    let mut reader = Reader::of(net);
    reader.field(&raw mut scratch.socket.net.cookie, kernel!(net_cookie));
    identify(sock, scratch, state);
    // SAFETY: takes no argument.
    scratch.socket.jiffies = unsafe { bpf_jiffies64() };
    match state {
        state::TIME_WAIT => time_wait(sock, scratch),
        state::NEW_SYN_RECV => request(sock, scratch),
        _ => full(sock, scratch),
    }
}

/// Whether this is a network namespace; most often the one met last.
#[inline(always)]
fn meet(net: u64, cursor: &mut Cursor, walk: &Walk) -> bool {
    if net == cursor.net {
        return true;
    }
    let mut ops = 0_u64;
    let mut inum = 0_u32;
    let mut reader = Reader::of(net);
    reader.field(&raw mut ops, kernel!(net_ops));
    reader.field(&raw mut inum, kernel!(net_inum));
    if !reader.ok() || ops != walk.net_ops {
        return false;
    }
    cursor.net = net;
    cursor.inum = inum;
    true
}

#[inline(always)]
fn identify(sock: u64, scratch: &mut Scratch, state: u8) {
    let family: u16 = scratch.common(kernel!(family));
    let (local, remote) = if family == AF_INET6 && kernel!(local6) != ABSENT {
        (
            scratch.common(kernel!(local6)),
            scratch.common(kernel!(remote6)),
        )
    } else {
        (
            mapped(scratch.common(kernel!(local4))),
            mapped(scratch.common(kernel!(remote4))),
        )
    };
    let port: u16 = scratch.common(kernel!(remote_port));
    let local_port = scratch.common(kernel!(local_port));
    let cookie = scratch.common(kernel!(cookie));
    let socket = &mut scratch.socket;
    socket.sock = sock;
    socket.cookie = cookie;
    socket.family = family;
    socket.local = local;
    socket.remote = remote;
    socket.local_port = local_port;
    socket.remote_port = u16::from_be(port);
    socket.state = state;
}

/// One bit of [`flag`], if it is to be set.
#[inline(always)]
pub(super) fn bit(is_set: bool, bit: u8) -> u8 {
    u8::from(is_set) * bit
}

/// SO_KEEPALIVE and SOCK_DEAD as bits of [`flag`].
#[inline(always)]
pub(super) fn flags(scratch: &Scratch) -> u8 {
    let flags: u64 = scratch.common(kernel!(flags));
    let keepalive = flags >> (kernel!(flag_keepopen) & 63) & 1;
    let dead = flags >> (kernel!(flag_dead) & 63) & 1;
    bit(keepalive != 0, flag::KEEPALIVE) | bit(dead != 0, flag::DEAD)
}

/// The socket's own object and what its buffers are charged.
#[inline(always)]
fn memory(sock: u64, family: u16) -> u32 {
    let (mut received, mut queued) = (0_i32, 0_i32);
    let mut reader = Reader::of(sock);
    reader.field(&raw mut received, kernel!(rmem_alloc));
    reader.field(&raw mut queued, kernel!(wmem_queued));
    object_size(family)
        .wrapping_add(charged(received))
        .wrapping_add(charged(queued))
}

/// What is charged, which the kernel counts in an int and may let go below 0 for a moment: without a
/// branch, which would double the verifier's work each time.
#[inline(always)]
pub(super) fn charged(bytes: i32) -> u32 {
    (bytes & !(bytes >> 31)) as u32
}

#[inline(always)]
pub(super) fn object_size(family: u16) -> u32 {
    if family == AF_INET6 {
        kernel!(tcp6_sock_size)
    } else {
        kernel!(tcp_sock_size)
    }
}

/// A full socket, listeners included.
#[inline(always)]
fn full(address: u64, scratch: &mut Scratch) -> bool {
    let flags = flags(scratch);
    let socket = &mut scratch.socket;
    let sock = Sock(address);
    let mut mptcp = 0_u8;
    let mut reader = Reader::of(address);
    reader.field(&raw mut socket.uid, kernel!(uid));
    reader.field(&raw mut socket.keepalive_time, kernel!(keepalive_time));
    reader.field(&raw mut socket.keepalive_interval, kernel!(keepalive_intvl));
    reader.field(&raw mut socket.keepalive_probes, kernel!(keepalive_probes));
    reader.field(&raw mut socket.user_timeout_ms, kernel!(user_timeout));
    reader.field(&raw mut mptcp, kernel!(is_mptcp));
    if socket.state == state::LISTEN {
        reader.field(&raw mut socket.rcv_nxt, kernel!(ack_backlog));
        socket.direction = direction::NONE;
    } else {
        reader.field(&raw mut socket.rto, kernel!(rto));
        reader.field(&raw mut socket.srtt_us, kernel!(srtt_us));
        reader.field(&raw mut socket.packets_out, kernel!(packets_out));
        reader.field(&raw mut socket.write_seq, kernel!(write_seq));
        reader.field(&raw mut socket.snd_nxt, kernel!(snd_nxt));
        reader.field(&raw mut socket.snd_una, kernel!(snd_una));
        reader.field(&raw mut socket.snd_wnd, kernel!(snd_wnd));
        reader.field(&raw mut socket.rcv_nxt, kernel!(rcv_nxt));
        reader.field(&raw mut socket.copied_seq, kernel!(copied_seq));
        reader.field(&raw mut socket.rcv_tstamp, kernel!(rcv_tstamp));
        reader.field(&raw mut socket.lrcvtime, kernel!(lrcvtime));
        reader.field(&raw mut socket.lsndtime, kernel!(lsndtime));
        reader.field(&raw mut socket.retransmits, kernel!(retransmits));
        reader.field(&raw mut socket.probes_out, kernel!(probes_out));
        reader.field(&raw mut socket.pending, kernel!(pending));
        reader.field(&raw mut socket.backoff, kernel!(backoff));
        socket.direction = sock.direction();
    }
    let mut pending = 0_u64;
    let mut timer = Reader::of(address.wrapping_add(u64::from(kernel!(keepalive_timer))));
    timer.field(&raw mut pending, kernel!(timer_pprev));
    timer.field(&raw mut socket.keepalive_expires, kernel!(timer_expires));
    let mut timer = Reader::of(address.wrapping_add(u64::from(kernel!(retransmit_timer))));
    timer.field(&raw mut socket.timer_expires, kernel!(timer_expires));
    socket.flags =
        flags | bit(pending != 0, flag::KEEPALIVE_TIMER) | bit(mptcp & 1 != 0, flag::MPTCP);
    socket.cgroup = sock.cgroup();
    socket.memory = memory(address, socket.family);
    reader.ok()
}

#[inline(always)]
fn time_wait(address: u64, scratch: &mut Scratch) -> bool {
    let socket = &mut scratch.socket;
    let mut reader = Reader::of(address);
    reader.field(&raw mut socket.state, kernel!(tw_substate));
    socket.flags = flag::TIME_WAIT;
    socket.memory = kernel!(timewait_size);
    if kernel!(tw_timer) != ABSENT {
        let mut timer = Reader::of(address.wrapping_add(u64::from(kernel!(tw_timer))));
        timer.field(&raw mut socket.timer_expires, kernel!(timer_expires));
    }
    reader.ok()
}

/// Its owner is its listener's.
#[inline(always)]
fn request(address: u64, scratch: &mut Scratch) -> bool {
    let socket = &mut scratch.socket;
    let mut reader = Reader::of(address);
    let mut listener = 0_u64;
    reader.field(&raw mut socket.retransmits, kernel!(num_retrans));
    reader.field(&raw mut listener, kernel!(rsk_listener));
    socket.flags = flag::REQUEST;
    socket.direction = direction::INBOUND;
    socket.memory = kernel!(request_size);
    if kernel!(rsk_timer) != ABSENT {
        let mut timer = Reader::of(address.wrapping_add(u64::from(kernel!(rsk_timer))));
        timer.field(&raw mut socket.timer_expires, kernel!(timer_expires));
    }
    if listener != 0 {
        let mut owner = Reader::of(listener);
        owner.field(&raw mut socket.uid, kernel!(uid));
        socket.cgroup = Sock(listener).cgroup();
    }
    reader.ok()
}
