//! Request sockets (SYN_RECV): what is read of them, and how they end unfulfilled. They are far smaller
//! than full sockets, and are never read as such.

use halfopen_common::{
    Ending, Event, GroupKey, Loss, Record, RequestTimer, ResetReason, Tally, direction,
    event_flags, event_kind, state,
};
use zerocopy::FromZeros as _;

use crate::{
    clock::now_ns,
    death, event_record, fields, identity,
    kernel::kernel,
    maps,
    read::{FieldReader, Offset, read},
    record,
    segment::Segment,
    sock::Sock,
};

/// Its timer begins to run.
#[inline(always)]
pub fn enter(timer: u64) {
    if maps::is_active() && try_enter(timer).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_enter(timer: u64) -> Option<()> {
    let request = fields::rsk_timer().owner(timer);
    let running = maps::request_timer()?;
    // SAFETY: per-CPU value; timers of one processor do not nest.
    let running = unsafe { &mut *running };
    running.request = 0;
    running.timeouts = timeouts(request)?;
    running.listener = read(request, fields::rsk_listener())?;
    running.timer = timer;
    running.request = request;
    Some(())
}

/// Its timer has run: one that goes on has counted a timeout in `num_timeout`, one that was dropped has not
/// (`reqsk_timer_handler`, net/ipv4/inet_connection_sock.c).
#[inline(always)]
pub fn exit(timer: u64) {
    if !maps::is_active() {
        return;
    }
    let Some(running) = maps::request_timer() else {
        return;
    };
    // SAFETY: as in `enter`.
    let running = unsafe { &mut *running };
    if running.request == 0 || timer != 0 && running.timer != timer {
        return;
    }
    let counted = count(running);
    running.request = 0;
    if counted.is_none() {
        maps::lose(Loss::Unreadable);
    }
}

/// The byte with its `num_timeout`.
#[inline(always)]
fn timeouts(request: u64) -> Option<u8> {
    read(request, Offset::new(kernel!(num_timeout)))
}

/// Whether the handshake's last ACK came (`inet_rsk(req)->acked`), and made no connection: it waits for
/// data (TCP_DEFER_ACCEPT), or the accept queue was full (`tcp_check_req`, net/ipv4/tcp_minisocks.c).
#[inline(always)]
pub fn is_acked(request: u64) -> Option<bool> {
    let byte = read(request, Offset::<u8>::new(kernel!(acked)))?;
    Some(u32::from(byte) & kernel!(acked_bit) != 0)
}

/// Whether an ACK that made no connection was thrown away for want of room in the accept queue, as far as
/// its listener tells later: without TCP_DEFER_ACCEPT there is no other reason but a lack of memory; with
/// it, the ACK waits for data unless the queue is full (`sk_acceptq_is_full`).
#[inline(always)]
fn has_no_room(listener: Sock) -> Option<bool> {
    let held = listener.get(fields::ack_backlog())?;
    let limit = listener.get(fields::max_ack_backlog())?;
    let defers = listener.get(fields::defer_accept()).unwrap_or(0);
    Some(defers == 0 || held > limit)
}

/// A listener resets a client since its accept queue is full (net.ipv4.tcp_abort_on_overflow); the request
/// ends with that. Counts both, and the reset as OutRsts does.
#[inline(never)]
pub fn overflowed(listener: Sock, segment: Segment) -> Option<()> {
    let mut record = Record::new_zeroed();
    record.net = listener.net()?;
    maps::tally(&record.net, Tally::OutRsts, 1);
    record.ending = Ending::AcceptQueueFull as u8;
    record.reset_reason = ResetReason::LISTEN_OVERFLOW as u8;
    record.state = state::SYN_RECV;
    record.direction = direction::INBOUND;
    record.cgroup = listener.cgroup();
    record.uid = listener.get(fields::uid())?;
    record.last_ns = now_ns();
    segment.ends(&mut record)?;
    let group = record.group();
    record::count_reset(&group, ResetReason::LISTEN_OVERFLOW);
    if event_record::is_watched() {
        event_record::request(event_kind::RESET_SENT, Sock(0), &record, 0);
    }
    event_record::request(event_kind::DEATH, Sock(0), &record, 0);
    death::count_ending(&group, record.ending);
    Some(())
}

/// Counts the timeout, as TCPTimeouts does, and the end, if it was one. The memory of a freed request still
/// reads as one until a grace period has passed.
#[inline(always)]
fn count(running: &RequestTimer) -> Option<()> {
    let (request, listener) = (Sock(running.request), Sock(running.listener));
    let ending = if timeouts(running.request)? != running.timeouts {
        Ending::None
    } else if listener.get(fields::state())? != state::LISTEN {
        Ending::RequestAbandoned
    } else if is_acked(request.0) == Some(true) && has_no_room(listener)? {
        Ending::AcceptQueueFull
    } else {
        Ending::RequestExpired
    };
    ran(request, listener, ending as u8)
}

#[inline(never)]
fn ran(request: Sock, listener: Sock, ending: u8) -> Option<()> {
    let mut record = Record::new_zeroed();
    record.ending = ending;
    record.state = state::SYN_RECV;
    record.direction = direction::INBOUND;
    record.cgroup = listener.cgroup();
    let mut reader = FieldReader::of(listener.0);
    reader.field(&raw mut record.uid, fields::uid());
    let owner = reader.ok();
    let (mut net, mut began_us) = (0_u64, 0_u64);
    let mut reader = FieldReader::of(request.0);
    reader.field(&raw mut net, fields::net());
    reader.field(&raw mut record.local_port, fields::local_port());
    reader.field(&raw mut began_us, fields::snt_synack());
    identity::addresses(&mut reader, &mut record);
    if !owner || !reader.ok() {
        return None;
    }
    identity::namespace(net, &mut record)?;
    record.first_ns = began_us * 1000;
    record.last_ns = now_ns();
    let group: GroupKey = record.group();
    // A listener that was closed is found out before the timeout is counted.
    if ending != Ending::RequestAbandoned as u8 {
        record::count(&group, Event::RetransmissionTimeout, 1);
        maps::tally(&record.net, Tally::Timeouts, 1);
    }
    if ending == Ending::None as u8 {
        return Some(());
    }
    let is_heard = is_acked(request.0) == Some(true);
    let unheard = u16::from(!is_heard) * event_flags::UNHEARD;
    event_record::request(event_kind::DEATH, request, &record, unheard);
    death::count_ending(&group, record.ending);
    if record.first_ns != 0 {
        maps::silence(
            record.ending,
            record.last_ns.saturating_sub(record.first_ns),
        );
    }
    Some(())
}
