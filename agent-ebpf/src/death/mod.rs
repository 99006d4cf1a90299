//! Ends of connections: reported, counted, and taken back where the reset that ended one turns out to be data.

pub mod ending;

use halfopen_common::{Ending, Event, GroupKey, Tally, event_flags, state};

use crate::{
    event_record::{self, End},
    identity::{self, is_same},
    maps,
    record::{Touched, count, touch},
    sock::Sock,
};

/// Notes the state before a change to CLOSE, if the record was made after it.
#[inline(always)]
pub fn was_in(touched: &Touched, before: u8) {
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        if record.state == state::CLOSE {
            record.state = before;
        }
    }
}

/// Whether an end of this socket's connection was recorded.
#[inline(always)]
pub fn has_ended(sock: Sock) -> bool {
    maps::record(sock.0).is_some_and(|known| {
        // SAFETY: points into a live map value.
        unsafe { (*known).ending != Ending::None as u8 }
    })
}

/// Reports how a connection ended and counts it, once and in this order; `state` is the one it was in.
#[inline(never)]
pub fn ended(sock: Sock, touched: &Touched, end: End, state: u8) {
    let ending = end.ending;
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        if record.ending != Ending::None as u8 {
            return;
        }
        record.ending = ending;
        if state != state::CLOSE {
            record.state = state;
        }
    }
    event_record::death(sock, touched.record, &touched.group, end, state);
    count_ending(&touched.group, ending);
    if Ending::timed_out(ending) {
        maps::tally(&touched.net, Tally::AbortOnTimeout, 1);
    }
    if end.flags & event_flags::INFERRED != 0 {
        count(&touched.group, Event::DeathInferred, 1);
    }
    // One that may be taken back is in no table that only grows.
    if end.flags & event_flags::UNDECIDED == 0 {
        count_silence(sock, ending, state);
    }
}

/// What a socket was counted in whose connection has ended. One that is destroyed has no record any more,
/// and gets none: nobody would remove it.
#[inline(always)]
pub fn closed(sock: Sock) -> Option<Touched> {
    if let Some(known) = maps::record(sock.0) {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &*known };
        if is_same(record, sock)? {
            return Some(Touched {
                group: record.group(),
                net: record.net,
                record: Some(known),
            });
        }
    }
    if sock.is_dead()? {
        return Some(Touched {
            record: None,
            group: identity::group(sock)?,
            net: sock.net()?,
        });
    }
    touch(sock)
}

/// Takes back the reset that was counted as received, and the death by it: the segment was data.
#[inline(always)]
pub fn withdraw_reset(touched: &Touched) {
    count(&touched.group, Event::ResetWithdrawn, 1);
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        record.resets_received = record.resets_received.saturating_sub(1);
        record.ending = Ending::None as u8;
    }
}

/// Counts the silence before a death; of a handshake since it began. Last of all: the verifier follows
/// each bucket apart.
#[inline(never)]
fn count_silence(sock: Sock, ending: u8, state: u8) {
    if state != state::SYN_SENT {
        if let Some(silence) = sock.silence_ns() {
            maps::silence(ending, silence);
        }
        return;
    }
    if let Some(elapsed) = sock.syn_sent_elapsed_ns() {
        maps::silence(ending, elapsed);
    }
}

/// Counts an ending in a group.
#[inline(always)]
pub fn count_ending(group: &GroupKey, ending: u8) {
    if let Some(counts) = maps::group(group) {
        let index = usize::from(ending) & (Ending::COUNT - 1);
        // SAFETY: points into a live map value; no reference is made.
        maps::add(unsafe { &raw mut (*counts).endings[index] }, 1);
    }
}
