//! A socket's record: found or made, updated, and forgotten when the socket is destroyed.
//! A socket to which nothing happened has none.

use halfopen_common::{
    Ending, Event, GroupKey, Loss, NetKey, Outstanding, Record, ResetReason, Tally, event_flags,
    event_kind, state,
};

use crate::{
    clock::{jiffies, now_ns},
    event_record::{self, End, What},
    fields,
    identity::{self, is_same},
    maps,
    sock::Sock,
};

/// A socket to which something has just happened.
pub struct Touched {
    /// Its record, unless the map was full.
    pub record: Option<*mut Record>,
    /// Its group.
    pub group: GroupKey,
    /// Its network namespace.
    pub net: NetKey,
}

/// Finds or makes the record. `None` when the socket cannot be read at all.
#[inline(never)]
pub fn touch(sock: Sock) -> Option<Touched> {
    let now = now_ns();
    let state = sock.get(fields::state())?;
    let user_timeout = sock.get(fields::user_timeout())?;
    if let Some(known) = maps::record(sock.0) {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *known };
        // One that has ended and lives has connected again, if to the same peer.
        let has_ended = record.ending != Ending::None as u8;
        if is_same(record, sock)? && (!has_ended || state == state::CLOSE) {
            record.last_ns = now;
            record.user_timeout_ms = user_timeout;
            if state != state::CLOSE {
                record.state = state;
            }
            return Some(Touched {
                group: record.group(),
                net: record.net,
                record: Some(known),
            });
        }
        // tcp_disconnect() keeps the socket for another connection; otherwise its end was missed.
        if !has_ended {
            maps::lose(Loss::StaleRecords);
        }
        // The socket's own times are another connection's by now; what was marked has been shown.
        if record.heard != 0 {
            answered(record);
        }
        maps::forget(sock.0);
    }
    let Some(new) = maps::new_record(sock.0) else {
        return Some(Touched {
            record: None,
            group: identity::group(sock)?,
            net: sock.net()?,
        });
    };
    // SAFETY: points into a live map value that no other hook has found yet.
    let record = unsafe { &mut *new };
    record.first_ns = now;
    record.last_ns = now;
    record.state = state;
    record.user_timeout_ms = user_timeout;
    if identity::identify(sock, record).is_none() {
        maps::forget(sock.0);
        return None;
    }
    Some(Touched {
        group: record.group(),
        net: record.net,
        record: Some(new),
    })
}

/// Counts an event in a group.
#[inline(always)]
pub fn count(group: &GroupKey, event: Event, n: u64) {
    if let Some(counts) = maps::group(group) {
        // SAFETY: points into a live map value; no reference is made.
        maps::add(unsafe { &raw mut (*counts).events[event as usize] }, n);
    }
}

/// If a probe is outstanding and the peer was heard since, counts the answer.
#[inline(never)]
pub fn settle(sock: Sock, record: &mut Record) -> Option<()> {
    if !record.is_waiting() || !is_same(record, sock)? {
        return Some(());
    }
    if record.heard != 0 || sock.heard_since(record.probe_jiffies)? {
        event_record::answer(sock, record);
        answered(record);
    }
    Some(())
}

/// Counts the answer to what is outstanding.
#[inline(always)]
fn answered(record: &mut Record) {
    let group = record.group();
    let recovers = record.recovers();
    let recovery = match record.outstanding {
        Outstanding::KEEPALIVE => {
            record.keepalive_answered += 1;
            count(&group, Event::KeepaliveAnswered, 1);
            Event::KeepaliveRecovery
        }
        Outstanding::WINDOW => {
            record.window_answered += 1;
            count(&group, Event::WindowAnswered, 1);
            Event::WindowRecovery
        }
        _ => Event::RetransmissionRecovery,
    };
    record.outstanding = Outstanding::NONE;
    record.unanswered = 0;
    record.heard = 0;
    if recovers {
        count(&group, recovery, 1);
    }
}

/// [`settle`] for a socket that has a record.
#[inline(always)]
pub fn settle_known(sock: Sock) {
    if let Some(record) = maps::record(sock.0) {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let _ = settle(sock, unsafe { &mut *record });
    }
}

/// Counts `n` probes just sent.
#[inline(never)]
pub fn probed(sock: Sock, outstanding: u8, n: u32) -> Option<()> {
    let touched = touch(sock)?;
    let (event, tally) = if outstanding == Outstanding::KEEPALIVE {
        (Event::KeepaliveProbe, Tally::KeepAlive)
    } else {
        (Event::WindowProbe, Tally::WinProbe)
    };
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        settle(sock, record)?;
        match event {
            Event::KeepaliveProbe => record.keepalive_probes += n,
            _ => record.window_probes += n,
        }
        record.outstanding = outstanding;
        record.unanswered += n;
        record.probe_jiffies = jiffies();
        record.probe_ns = record.last_ns;
    }
    count(&touched.group, event, u64::from(n));
    maps::tally(&touched.net, tally, u64::from(n));
    event_record::report(
        What::new(event_kind::PROBE),
        sock,
        touched.record,
        outstanding,
    );
    Some(())
}

/// Counts a retransmission timeout; the kernel's own counter may leave it out.
#[inline(never)]
pub fn timed_out(sock: Sock, is_counted: bool) -> Option<()> {
    let touched = touch(sock)?;
    // A handshake's is no silence, and against a closed window the timer does a window probe's work.
    let state = sock.get(fields::state())?;
    let into_silence =
        state != state::SYN_SENT && state != state::SYN_RECV && sock.get(fields::snd_wnd())? != 0;
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        record.retransmission_timeouts += 1;
        if into_silence {
            record.outstanding = Outstanding::RETRANSMISSION;
            record.unanswered += 1;
            record.heard = 0;
            record.probe_jiffies = jiffies();
            record.probe_ns = record.last_ns;
        }
    }
    count(&touched.group, Event::RetransmissionTimeout, 1);
    if is_counted {
        maps::tally(&touched.net, Tally::Timeouts, 1);
    }
    event_record::report(
        What::new(event_kind::TIMEOUT),
        sock,
        touched.record,
        Outstanding::RETRANSMISSION,
    );
    Some(())
}

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

/// Counts a reset sent in a connection's group, `OutRsts` apart.
#[inline(always)]
pub fn reset_sent(sock: Sock, touched: &Touched, reason: u32) {
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        record.resets_sent += 1;
        record.reset_reason = reason as u8;
    }
    count_reset(&touched.group, reason);
    event_record::report(
        What::new(event_kind::RESET_SENT),
        sock,
        touched.record,
        reason as u8,
    );
}

/// Counts a reset sent in a group.
#[inline(never)]
pub fn count_reset(group: &GroupKey, reason: u32) {
    if let Some(counts) = maps::group(group) {
        let index = reason as usize & (ResetReason::COUNT - 1);
        // SAFETY: points into a live map value; no reference is made.
        maps::add(unsafe { &raw mut (*counts).resets_sent[index] }, 1);
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
