//! Tells the agent what has just happened, with what the socket looks like.
//! It must never count: an event that finds no room here has been counted before.

use halfopen_common::{
    Loss, NetKey, Notice, Outstanding, Record, keepalive, state, switch, told, what,
};

use crate::{
    maps::{self, kernel},
    read::Reader,
    record::{self, Touched},
    sock::{Segment, Sock, jiffies, span_ns},
};

/// What a notice of a socket without a record starts from: too large for the stack.
static NO_RECORD: Record = zerocopy::transmute!([0_u8; size_of::<Record>()]);

/// Whether somebody wants to know of events other than deaths.
#[inline(always)]
pub fn is_watched() -> bool {
    maps::switched(switch::WATCHED)
}

/// Tells of an event of a socket that has been touched, if anybody watches. `detail` is what a record
/// would tell: of a probe what is outstanding, of a reset sent its reason.
#[inline(always)]
pub fn event(what: u8, sock: Sock, record: Option<*mut Record>, detail: u8) {
    if is_watched() {
        let record = record.map_or(core::ptr::null(), <*mut Record>::cast_const);
        let state = sock.state().unwrap_or(state::CLOSE);
        tell(what, sock, record, detail, state);
    }
}

/// Tells of a death, always.
#[inline(always)]
pub fn death(sock: Sock, touched: &Touched, ending: u8, state: u8) {
    let record = touched
        .record
        .map_or(core::ptr::null(), <*mut Record>::cast_const);
    tell(what::DEATH, sock, record, ending, state);
}

/// Hands out one notice of a full socket. `detail` and `state` stand in for a record's where there is
/// none.
#[inline(never)]
fn tell(what: u8, sock: Sock, record: *const Record, detail: u8, state: u8) {
    let Some(mut entry) = maps::reserve_notice() else {
        lost(what);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let notice = unsafe { &mut *place };
    notice.what = what;
    notice.sock = sock.0;
    notice.at_ns = maps::now_ns();
    notice.flags = 0;
    if record.is_null() {
        notice.record = NO_RECORD;
        notice.flags = told::NO_RECORD;
        // What cannot be read stays zero; the event itself is told all the same.
        let _ = record::identify(sock, &mut notice.record);
        notice.record.state = state;
        match what {
            what::DEATH => notice.record.ending = detail,
            what::RESET_SENT => notice.record.reset_reason = detail,
            _ => notice.record.outstanding = detail,
        }
    } else {
        // SAFETY: points into a live map value.
        notice.record = unsafe { *record };
    }
    describe(sock, notice);
    maps::submit_notice(entry);
}

/// What the socket looks like now. Without branches, each of which would double the verifier's work:
/// a full socket can be read, and what this kernel does not have stays zero.
#[inline(always)]
fn describe(sock: Sock, notice: &mut Notice) {
    // One place each, used again and again: the stack has no room to spare.
    let (mut word, mut half, mut byte) = (0_u64, 0_u32, 0_u8);
    notice.cookie = 0;
    notice.error = 0;
    notice.keepalive_idle = 0;
    notice.keepalive_interval = 0;
    notice.keepalive_probes = 0;
    notice.unacknowledged = 0;
    notice.unread = 0;
    let mut reader = Reader::of(sock.0);
    reader.field(&raw mut notice.cookie, kernel!(cookie));
    reader.field(&raw mut notice.error, kernel!(err));
    reader.field(&raw mut notice.keepalive_idle, kernel!(keepalive_time));
    reader.field(&raw mut notice.keepalive_interval, kernel!(keepalive_intvl));
    reader.field(&raw mut notice.keepalive_probes, kernel!(keepalive_probes));
    reader.field(&raw mut notice.unacknowledged, kernel!(write_seq));
    reader.field(&raw mut half, kernel!(snd_una));
    notice.unacknowledged = notice.unacknowledged.wrapping_sub(half);
    reader.field(&raw mut notice.unread, kernel!(rcv_nxt));
    reader.field(&raw mut half, kernel!(copied_seq));
    notice.unread = notice.unread.wrapping_sub(half);
    reader.field(&raw mut byte, kernel!(is_mptcp));
    notice.flags |= (byte & 1) * told::MPTCP;
    reader.field(&raw mut word, kernel!(flags));
    let dead = (word >> (kernel!(flag_dead) & 63) & 1) as u8;
    notice.flags |= dead * told::ORPHAN;
    let on = (word >> (kernel!(flag_keepopen) & 63) & 1) as u8;
    let own =
        notice.keepalive_idle | notice.keepalive_interval | u32::from(notice.keepalive_probes);
    // OFF, DEFAULT or CUSTOM.
    notice.keepalive = on + on * is_set(own);
    let now = jiffies();
    reader.field(&raw mut half, kernel!(rcv_tstamp));
    let heard = now.wrapping_sub(half);
    reader.field(&raw mut half, kernel!(lrcvtime));
    let data = now.wrapping_sub(half);
    let silence = span_ns(if heard < data { heard } else { data });
    notice.silence_ns = silence.unwrap_or(Notice::UNKNOWN);
    reader.field(&raw mut word, kernel!(net));
    notice.born_ns = maps::born(sock.0);
    // Those of the namespace where the socket has none.
    let mut reader = Reader::of(word);
    if notice.keepalive_idle == 0 {
        reader.field(
            &raw mut notice.keepalive_idle,
            kernel!(sysctl_keepalive_time),
        );
    }
    if notice.keepalive_interval == 0 {
        reader.field(
            &raw mut notice.keepalive_interval,
            kernel!(sysctl_keepalive_intvl),
        );
    }
    if notice.keepalive_probes == 0 {
        reader.field(
            &raw mut notice.keepalive_probes,
            kernel!(sysctl_keepalive_probes),
        );
    }
    if notice.record.state == state::SYN_SENT {
        notice.flags |= told::UNHEARD;
        notice.silence_ns = Notice::UNKNOWN;
        if let Some(knocking) = sock.knocking_ns() {
            notice.born_ns = notice.at_ns.saturating_sub(knocking);
        }
    }
}

/// 1 for all but 0.
#[inline(always)]
const fn is_set(word: u32) -> u8 {
    ((word | word.wrapping_neg()) >> 31) as u8
}

/// Tells that a request socket has ended; `record` holds whose it was, since when, and how it ended.
#[inline(never)]
pub fn request_death(request: Sock, record: &Record) {
    let Some(mut entry) = maps::reserve_notice() else {
        lost(what::DEATH);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let notice = unsafe { &mut *place };
    blank(notice, what::DEATH, told::REQUEST | told::UNHEARD);
    notice.sock = request.0;
    notice.born_ns = record.first_ns;
    notice.record = *record;
    Reader::of(request.0).field(&raw mut notice.cookie, kernel!(cookie));
    maps::submit_notice(entry);
}

/// Tells of a reset that answers a segment of no connection, if anybody watches.
#[inline(always)]
pub fn stray_reset(segment: Segment, net: &NetKey, reason: u32) {
    if is_watched() {
        tell_stray(segment, net, reason as u8);
    }
}

#[inline(never)]
fn tell_stray(segment: Segment, net: &NetKey, reason: u8) {
    let Some(mut entry) = maps::reserve_notice() else {
        lost(what::RESET_SENT);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let notice = unsafe { &mut *place };
    blank(notice, what::RESET_SENT, told::STRAY);
    notice.record = NO_RECORD;
    notice.record.net = *net;
    notice.record.reset_reason = reason;
    // Without its addresses it is told all the same.
    let _ = segment.ends(&mut notice.record);
    maps::submit_notice(entry);
}

/// A notice of what is no full socket, its record apart.
#[inline(always)]
fn blank(notice: &mut Notice, what: u8, flags: u8) {
    notice.what = what;
    notice.flags = flags | told::NO_RECORD;
    notice.at_ns = maps::now_ns();
    notice.sock = 0;
    notice.cookie = 0;
    notice.born_ns = 0;
    notice.silence_ns = Notice::UNKNOWN;
    notice.keepalive_idle = 0;
    notice.keepalive_interval = 0;
    notice.unacknowledged = 0;
    notice.unread = 0;
    notice.error = 0;
    notice.keepalive_probes = 0;
    notice.keepalive = keepalive::UNKNOWN;
}

/// Counts what found no room.
#[inline(always)]
fn lost(what: u8) {
    maps::lose(Loss::EventsDropped);
    if what == what::DEATH {
        maps::lose(Loss::CertificatesLost);
    }
}

/// Tells that the outstanding probe or retransmission was answered, if anybody watches: before the
/// record forgets it, and once.
#[inline(always)]
pub fn answer(sock: Sock, record: *mut Record) {
    if !is_watched() {
        return;
    }
    // SAFETY: points into a live map value.
    let answered = unsafe { &*record };
    if answered.heard != 0 || !answered.is_waiting() {
        return;
    }
    let what = if answered.recovers() {
        what::RECOVERY
    } else {
        what::ANSWER
    };
    tell(what, sock, record, Outstanding::NONE, state::CLOSE);
}
