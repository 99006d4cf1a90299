//! A socket's record: found or made, updated, and forgotten when the socket is destroyed.
//! A socket to which nothing happened has none.

use halfopen_common::{
    Ending, Event, GroupKey, Loss, NetKey, Outstanding, Record, ResetReason, Tally, event_kind,
    state,
};

use crate::{
    clock::{jiffies, now_ns, span_ns},
    event_record::{self, What},
    fields,
    identity::{self, is_same},
    maps,
    read::FieldReader,
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

/// If something is outstanding and was answered since, counts the answer.
#[inline(never)]
pub fn settle(sock: Sock, record: &mut Record) -> Option<()> {
    if !record.is_waiting() || !is_same(record, sock)? {
        return Some(());
    }
    if record.heard != 0 || is_answered(sock, record)? {
        event_record::answer(sock, record);
        answered(record);
    }
    Some(())
}

/// Whether what is outstanding was answered: a retransmission by progress, a probe by being heard.
#[inline(always)]
pub fn is_answered(sock: Sock, record: &Record) -> Option<bool> {
    if record.outstanding == Outstanding::RETRANSMISSION {
        Some(sock.get(fields::snd_una())? != record.snd_una)
    } else {
        sock.heard_since(record.probe_jiffies)
    }
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
        Outstanding::CLOSED_WINDOW => Event::WindowRecovery,
        _ => Event::RetransmissionRecovery,
    };
    record.outstanding = Outstanding::NONE;
    record.unanswered = 0;
    record.unheard = 0;
    record.suspected = 0;
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

/// Notes that this is outstanding now, after `n` probes or one timeout that went out just now. One read after
/// another without a branch between: each would double the verifier's work.
#[inline(always)]
fn waits(sock: Sock, record: &mut Record, outstanding: u8, n: u32) -> Option<()> {
    let (mut segs_in, mut rto) = (0_u32, 0_u32);
    let mut reader = FieldReader::of(sock.0);
    reader.field(&raw mut segs_in, fields::segs_in());
    reader.field(&raw mut rto, fields::rto());
    reader.field(&raw mut record.snd_una, fields::snd_una());
    let now = record.last_ns;
    if record.unheard == 0 || segs_in != record.segs_in {
        record.unheard = 0;
        record.unheard_since_ns = now;
    }
    record.outstanding = outstanding;
    record.unheard += n;
    record.segs_in = segs_in;
    record.heard = 0;
    record.probe_jiffies = jiffies();
    record.probe_ns = now;
    record.suspected |= u8::from(record.is_suspect(now, span_ns(rto).unwrap_or(0)));
    reader.ok().then_some(())
}

/// Whether the record was made by the event at hand.
#[inline(always)]
const fn is_new(record: &Record) -> bool {
    record.first_ns == record.last_ns
}

/// Counts `n` probes just sent, of which `uncounted` are not in `icsk_probes_out` yet.
#[inline(never)]
pub fn probed(sock: Sock, outstanding: u8, n: u32, uncounted: u32) -> Option<()> {
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
        record.unanswered = if is_new(record) {
            // Those before came before the hooks.
            u32::from(sock.get(fields::probes_out())?) + uncounted
        } else {
            record.unanswered + n
        };
        waits(sock, record, outstanding, n)?;
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

/// Counts a retransmission timeout, which the kernel's own counter may leave out; `uncounted` is 1 where it is not
/// in `icsk_retransmits` yet. What was outstanding is to be settled before.
#[inline(never)]
pub fn timed_out(sock: Sock, is_counted: bool, uncounted: u32) -> Option<()> {
    let touched = touch(sock)?;
    let state = sock.get(fields::state())?;
    let in_handshake = state == state::SYN_SENT || state == state::SYN_RECV;
    let is_closed = sock.get(fields::snd_wnd())? == 0 && !sock.is_dead()?;
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        let record = unsafe { &mut *record };
        record.retransmission_timeouts += 1;
        if !in_handshake {
            let (mut retransmits, mut backoff) = (0_u8, 0_u8);
            let mut reader = FieldReader::of(sock.0);
            reader.field(&raw mut retransmits, fields::retransmits());
            reader.field(&raw mut backoff, fields::backoff());
            let outstanding = if is_closed {
                // icsk_retransmits stays as it is.
                record.unanswered = if is_new(record) {
                    u32::from(backoff) + uncounted
                } else {
                    record.unanswered + 1
                };
                Outstanding::CLOSED_WINDOW
            } else {
                record.unanswered = u32::from(retransmits) + uncounted;
                Outstanding::RETRANSMISSION
            };
            waits(sock, record, outstanding, 1)?;
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
