//! Request sockets (SYN_RECV): what is read of them, and how they end unfulfilled.
//! It must never read one as a full socket: it is far smaller.

use halfopen_common::{Ending, GroupKey, Loss, Record, direction, state};
use zerocopy::FromZeros as _;

use crate::{
    maps::{self, kernel},
    notice,
    read::Reader,
    record,
    sock::{Sock, read},
};

/// The request whose timer runs on a processor.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pending {
    /// Its `struct request_sock`, 0 outside.
    pub request: u64,
    /// Its timer.
    pub timer: u64,
    /// Its listener.
    pub listener: u64,
    /// The byte with its `num_timeout` when the timer's run began.
    pub timeouts: u8,
}

/// Its timer begins to run.
#[inline(always)]
pub fn enter(timer: u64) {
    if maps::is_active() && try_enter(timer).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_enter(timer: u64) -> Option<()> {
    let request = timer.wrapping_sub(u64::from(kernel!(rsk_timer)));
    let pending = maps::pending()?;
    // SAFETY: per-CPU value; timers of one processor do not nest.
    let pending = unsafe { &mut *pending };
    pending.request = 0;
    pending.timeouts = read(request, kernel!(num_timeout))?;
    pending.listener = read(request, kernel!(rsk_listener))?;
    pending.timer = timer;
    pending.request = request;
    Some(())
}

/// Its timer has run: one that goes on has counted a timeout, one that was dropped has not
/// (`reqsk_timer_handler`, net/ipv4/inet_connection_sock.c).
#[inline(always)]
pub fn exit(timer: u64) {
    if !maps::is_active() {
        return;
    }
    let Some(pending) = maps::pending() else {
        return;
    };
    // SAFETY: as in `enter`.
    let pending = unsafe { &mut *pending };
    if pending.request == 0 || timer != 0 && pending.timer != timer {
        return;
    }
    let ended = ended(pending);
    pending.request = 0;
    if ended.is_none() {
        maps::lose(Loss::Unreadable);
    }
}

/// The memory of a freed request still reads as one until a grace period has passed.
#[inline(always)]
fn ended(pending: &Pending) -> Option<()> {
    let timeouts: u8 = read(pending.request, kernel!(num_timeout))?;
    if timeouts != pending.timeouts {
        return Some(());
    }
    died(Sock(pending.request), Sock(pending.listener))
}

#[inline(never)]
fn died(request: Sock, listener: Sock) -> Option<()> {
    let mut record = Record::new_zeroed();
    record.ending = if listener.state()? == state::LISTEN {
        Ending::RequestExpired as u8
    } else {
        Ending::RequestAbandoned as u8
    };
    record.state = state::SYN_RECV;
    record.direction = direction::INBOUND;
    record.cgroup = listener.cgroup();
    let mut reader = Reader::of(listener.0);
    reader.field(&raw mut record.uid, kernel!(uid));
    let owner = reader.ok();
    let (mut net, mut began_us) = (0_u64, 0_u64);
    let mut reader = Reader::of(request.0);
    reader.field(&raw mut net, kernel!(net));
    reader.field(&raw mut record.local_port, kernel!(local_port));
    reader.field(&raw mut began_us, kernel!(snt_synack));
    record::addresses(&mut reader, &mut record);
    if !owner || !reader.ok() {
        return None;
    }
    record::namespace(net, &mut record)?;
    record.first_ns = began_us * 1000;
    record.last_ns = maps::now_ns();
    let group: GroupKey = record.group();
    record::count_ending(&group, record.ending);
    notice::request_death(request, &record);
    if record.first_ns != 0 {
        maps::silence(
            record.ending,
            record.last_ns.saturating_sub(record.first_ns),
        );
    }
    Some(())
}

const _: () = assert!(size_of::<Pending>() == halfopen_common::layout::PENDING_BYTES);
