//! What is read of one socket: summed where it has nothing outstanding, else in full.

use aya_ebpf::helpers::bpf_jiffies64;
use halfopen_common::{FastPathLayout, Socket, WalkProgress, direction, flag, state, table};

use super::{
    destination,
    fast_path::{copy_ranges, fast_path},
    output::hand_out,
    scratch::{self, Cursor, Scratch, bit, charged, flags, object_size},
    sum::sum,
};
use crate::{clock::clock_ms, fields, kernel::kernel, read::FieldReader, request, sock::Sock};

/// What came of one socket.
pub enum ReadOutcome {
    /// It was summed, handed out, or is none of ours; the next node of its chain.
    Read(u64),
    /// Some of its memory could not be read.
    Unreadable,
    /// It could not be handed out.
    NoRoom,
}

/// Reads one socket.
#[inline(always)]
pub fn visit(sock: u64, cursor: &mut Cursor, walk: &mut WalkProgress) -> ReadOutcome {
    let Some(scratch) = scratch::scratch() else {
        return ReadOutcome::Unreadable;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let scratch = unsafe { &mut *scratch };
    let mut reader = FieldReader::of(sock);
    if walk.sums != 0 {
        // Before the head, which depends on nothing else and is the longest: so the processor waits
        // for the memory of several at once. Of what is no full socket this is not looked at.
        copy_ranges!(reader, scratch, always, 0, [0, 1, 2, 3, 4, 5]);
    }
    let is_copied = walk.sums != 0 && reader.ok();
    let mut reader = FieldReader::of(sock);
    reader.bytes(scratch.copies.as_mut_ptr(), 0, fast_path!(head));
    if !reader.ok() {
        return ReadOutcome::Unreadable;
    }
    let next = scratch.common(fields::node());
    let hash = scratch.common(fields::hash());
    if walk.table == table::ESTABLISHED && hash & walk.mask != walk.bucket {
        // It has gone over to another chain, where it is found.
        return ReadOutcome::Read(next);
    }
    let net = scratch.common(fields::net());
    if !meet(net, cursor, walk) {
        return ReadOutcome::Unreadable;
    }
    if walk.netns != 0 && walk.netns != cursor.inum {
        return ReadOutcome::Read(next);
    }
    let state = scratch.common(fields::state());
    let is_summed = state == state::ESTABLISHED && is_copied && sum(sock, scratch, cursor, walk);
    if !is_summed {
        if !read_all(sock, net, cursor.inum, scratch) {
            return ReadOutcome::Unreadable;
        }
        if !hand_out(&scratch.socket) {
            return ReadOutcome::NoRoom;
        }
    }
    walk.found += 1;
    if walk.sums != 0 && walk.table == table::ESTABLISHED {
        destination::note(sock, scratch, cursor, walk, is_summed);
    }
    ReadOutcome::Read(next)
}

/// Reads one socket, wherever it is, and hands it out; `false` when that cannot be done. Takes most of the stack: its
/// callers have calls of their own.
#[inline(never)]
pub fn report(sock: u64) -> bool {
    let Some(scratch) = scratch::scratch() else {
        return false;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let scratch = unsafe { &mut *scratch };
    let mut reader = FieldReader::of(sock);
    reader.bytes(scratch.copies.as_mut_ptr(), 0, kernel!(common_size));
    if !reader.ok() {
        return false;
    }
    let net = scratch.common(fields::net());
    let mut inum = 0_u32;
    let mut reader = FieldReader::of(net);
    reader.field(&raw mut inum, fields::net_inum());
    reader.ok() && read_all(sock, net, inum, scratch) && hand_out(&scratch.socket)
}

/// Everything of one socket, whose `sock_common` was copied.
#[inline(always)]
fn read_all(sock: u64, net: u64, inum: u32, scratch: &mut Scratch) -> bool {
    let state = scratch.common(fields::state());
    scratch.socket = zerocopy::transmute!([0_u8; size_of::<Socket>()]);
    scratch.socket.net.inum = inum;
    let mut reader = FieldReader::of(net);
    reader.field(&raw mut scratch.socket.net.cookie, fields::net_cookie());
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
fn meet(net: u64, cursor: &mut Cursor, walk: &WalkProgress) -> bool {
    if net == cursor.net {
        return true;
    }
    let mut ops = 0_u64;
    let mut inum = 0_u32;
    let mut reader = FieldReader::of(net);
    reader.field(&raw mut ops, fields::net_ops());
    reader.field(&raw mut inum, fields::net_inum());
    if !reader.ok() || ops != walk.net_ops {
        return false;
    }
    cursor.net = net;
    cursor.inum = inum;
    cursor.port_range = if walk.sums != 0 {
        destination::port_range(net)
    } else {
        0
    };
    true
}

#[inline(always)]
fn identify(sock: u64, scratch: &mut Scratch, state: u8) {
    let family = scratch.common(fields::family());
    let [local, remote] = scratch.addresses();
    let port = scratch.common(fields::remote_port());
    let local_port = scratch.common(fields::local_port());
    let cookie = scratch.common(fields::cookie());
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

/// The socket's own object and what its buffers are charged.
#[inline(always)]
fn memory(sock: u64, family: u16) -> u32 {
    let (mut received, mut queued) = (0_i32, 0_i32);
    let mut reader = FieldReader::of(sock);
    reader.field(&raw mut received, fields::rmem_alloc());
    reader.field(&raw mut queued, fields::wmem_queued());
    object_size(family)
        .wrapping_add(charged(received))
        .wrapping_add(charged(queued))
}

/// A full socket, listeners included.
#[inline(always)]
fn full(address: u64, scratch: &mut Scratch) -> bool {
    let copied_flags = flags(scratch);
    let socket = &mut scratch.socket;
    let sock = Sock(address);
    let mut mptcp = 0_u8;
    let mut application = 1_u64;
    let mut dead = 0_u64;
    let mut reader = FieldReader::of(address);
    // In this order: sock_orphan() sets SOCK_DEAD before it takes the struct socket away.
    reader.field(&raw mut application, fields::sk_socket());
    reader.field(&raw mut dead, fields::flags());
    let dead = dead >> (kernel!(flag_dead) & 63) & 1;
    let flags =
        copied_flags | bit(dead != 0, flag::DEAD) | bit(application | dead == 0, flag::UNACCEPTED);
    reader.field(&raw mut socket.uid, fields::uid());
    reader.field(&raw mut socket.keepalive_time, fields::keepalive_time());
    reader.field(
        &raw mut socket.keepalive_interval,
        fields::keepalive_intvl(),
    );
    reader.field(&raw mut socket.keepalive_probes, fields::keepalive_probes());
    reader.field(&raw mut socket.user_timeout_ms, fields::user_timeout());
    reader.field(&raw mut mptcp, fields::is_mptcp());
    if socket.state == state::LISTEN {
        reader.field(&raw mut socket.rcv_nxt, fields::ack_backlog());
        reader.field(&raw mut socket.copied_seq, fields::max_ack_backlog());
        socket.direction = direction::NONE;
    } else {
        reader.field(&raw mut socket.rto, fields::rto());
        reader.field(&raw mut socket.srtt_us, fields::srtt_us());
        reader.field(&raw mut socket.packets_out, fields::packets_out());
        reader.field(&raw mut socket.write_seq, fields::write_seq());
        reader.field(&raw mut socket.snd_nxt, fields::snd_nxt());
        reader.field(&raw mut socket.snd_una, fields::snd_una());
        reader.field(&raw mut socket.snd_wnd, fields::snd_wnd());
        reader.field(&raw mut socket.rcv_nxt, fields::rcv_nxt());
        reader.field(&raw mut socket.copied_seq, fields::copied_seq());
        reader.field(&raw mut socket.rcv_tstamp, fields::rcv_tstamp());
        reader.field(&raw mut socket.lrcvtime, fields::lrcvtime());
        reader.field(&raw mut socket.lsndtime, fields::lsndtime());
        reader.field(
            &raw mut socket.last_oow_ack_time,
            fields::last_oow_ack_time(),
        );
        reader.field(&raw mut socket.bytes_sent, fields::bytes_sent());
        reader.field(&raw mut socket.bytes_received, fields::bytes_received());
        reader.field(&raw mut socket.rto_max, fields::rto_max());
        reader.field(&raw mut socket.probes_tstamp, fields::probes_tstamp());
        reader.field(&raw mut socket.retrans_stamp, fields::retrans_stamp());
        reader.field(&raw mut socket.syn_retries, fields::own_syn_retries());
        socket.clock_ms = clock_ms();
        reader.field(&raw mut socket.retransmits, fields::retransmits());
        reader.field(&raw mut socket.probes_out, fields::probes_out());
        reader.field(&raw mut socket.pending, fields::pending());
        reader.field(&raw mut socket.backoff, fields::backoff());
        socket.direction = sock.direction();
    }
    let mut pending = 0_u64;
    let mut timer = FieldReader::of(address.wrapping_add(u64::from(kernel!(keepalive_timer))));
    timer.field(&raw mut pending, fields::timer_pprev());
    timer.field(&raw mut socket.keepalive_expires, fields::timer_expires());
    let mut timer = FieldReader::of(address.wrapping_add(u64::from(kernel!(retransmit_timer))));
    timer.field(&raw mut socket.timer_expires, fields::timer_expires());
    socket.flags =
        flags | bit(pending != 0, flag::KEEPALIVE_TIMER) | bit(mptcp & 1 != 0, flag::MPTCP);
    socket.cgroup = sock.cgroup();
    socket.memory = memory(address, socket.family);
    reader.ok()
}

#[inline(always)]
fn time_wait(address: u64, scratch: &mut Scratch) -> bool {
    let socket = &mut scratch.socket;
    let mut reader = FieldReader::of(address);
    reader.field(&raw mut socket.state, fields::tw_substate());
    socket.flags = flag::TIME_WAIT;
    socket.memory = kernel!(timewait_size);
    let timer = fields::tw_timer();
    if !timer.is_absent() {
        let mut timer = FieldReader::of(timer.of(address));
        timer.field(&raw mut socket.timer_expires, fields::timer_expires());
    }
    reader.ok()
}

/// Its owner and the queue it waits for are its listener's.
#[inline(always)]
fn request(address: u64, scratch: &mut Scratch) -> bool {
    let socket = &mut scratch.socket;
    let mut reader = FieldReader::of(address);
    let mut listener = 0_u64;
    let acked = request::is_acked(address);
    reader.field(&raw mut socket.retransmits, fields::num_retrans());
    reader.field(&raw mut listener, fields::rsk_listener());
    socket.flags = flag::REQUEST | bit(acked == Some(true), flag::UNACCEPTED);
    socket.direction = direction::INBOUND;
    socket.memory = kernel!(request_size);
    let timer = fields::rsk_timer();
    if !timer.is_absent() {
        let mut timer = FieldReader::of(timer.of(address));
        timer.field(&raw mut socket.timer_expires, fields::timer_expires());
    }
    if listener != 0 {
        let mut owner = FieldReader::of(listener);
        owner.field(&raw mut socket.uid, fields::uid());
        owner.field(&raw mut socket.rcv_nxt, fields::ack_backlog());
        owner.field(&raw mut socket.copied_seq, fields::max_ack_backlog());
        owner.field(&raw mut socket.defer_accept, fields::defer_accept());
        socket.has_queue = u8::from(owner.ok() && acked.is_some());
        socket.cgroup = Sock(listener).cgroup();
    }
    reader.ok()
}
