//! Reports to the agent what has just happened, and how the socket looks now.
//!
//! # Invariants
//! Nothing is counted here: an event that finds no room is counted all the same.

use halfopen_common::{
    Ending, EventRecord, GroupKey, Loss, NetKey, Outstanding, Record, Start, event_flags,
    event_kind, keepalive, state, switch,
};

use crate::{
    clock::{now_ns, span_ns},
    fields, identity,
    kernel::kernel,
    maps,
    read::FieldReader,
    segment::Segment,
    sock::Sock,
};

/// What an event of a socket without a record starts from: too large for the stack.
static NO_RECORD: Record = zerocopy::transmute!([0_u8; size_of::<Record>()]);

/// Whether anybody watches events other than deaths.
#[inline(always)]
pub fn is_watched() -> bool {
    maps::switched(switch::WATCHED)
}

/// Reports an event of a full socket, if anybody watches. `detail` stands in for a record: of a probe
/// what is outstanding, of a reset sent its reason.
#[inline(always)]
pub fn report(what: What, sock: Sock, record: Option<*mut Record>, detail: u8) {
    if is_watched() {
        let record = record.map_or(core::ptr::null(), <*mut Record>::cast_const);
        let state = sock.get(fields::state()).unwrap_or(state::CLOSE);
        emit(what, sock, record, detail, state);
    }
}

/// Reports a death of this group, whether anybody watches or not.
#[inline(always)]
pub fn death(sock: Sock, record: Option<*mut Record>, group: &GroupKey, end: End, state: u8) {
    let record = record.map_or(core::ptr::null(), <*mut Record>::cast_const);
    let overflowed = event_flags::GROUP_OVERFLOWED * u16::from(maps::overflows(group));
    let what = What::with(event_kind::DEATH, end.flags | overflowed);
    emit(what, sock, record, end.ending, state);
}

/// What has happened: one of [`event_kind`], and above it those bits of [`event_flags`] that the socket does
/// not show. One word, since functions take five at most.
#[derive(Clone, Copy)]
pub struct What(u32);

impl What {
    /// A kind of event of which the socket shows all.
    pub const fn new(kind: u8) -> Self {
        Self::with(kind, 0)
    }

    /// One of which it does not show these bits of [`event_flags`].
    pub const fn with(kind: u8, flags: u16) -> Self {
        Self((flags as u32) << 8 | kind as u32)
    }

    const fn kind(self) -> u8 {
        self.0 as u8
    }

    const fn flags(self) -> u16 {
        (self.0 >> 8) as u16
    }
}

/// How a connection ended.
#[derive(Clone, Copy)]
pub struct End {
    /// One of [`Ending`].
    pub ending: u8,
    /// Those bits of [`event_flags`] that the socket does not show.
    pub flags: u16,
}

impl End {
    /// One that is certain.
    pub const fn new(ending: Ending) -> Self {
        Self {
            ending: ending as u8,
            flags: 0,
        }
    }
}

/// Hands out one event of a full socket. `detail` and `state` stand in for a record's where there is
/// none.
#[inline(never)]
fn emit(what: What, sock: Sock, record: *const Record, detail: u8, state: u8) {
    let kind = what.kind();
    let Some(mut entry) = maps::reserve_event() else {
        lost(kind);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let event = unsafe { &mut *place };
    event.kind = kind;
    event.padding = [0; 7];
    event.sock = sock.0;
    event.at_ns = now_ns();
    event.flags = what.flags();
    if record.is_null() {
        event.record = NO_RECORD;
        event.flags |= event_flags::NO_RECORD;
        // What cannot be read stays zero; the event is reported all the same.
        let _ = identity::identify(sock, &mut event.record);
        event.record.state = state;
        match kind {
            event_kind::DEATH => event.record.ending = detail,
            event_kind::RESET_SENT => event.record.reset_reason = detail,
            _ => event.record.outstanding = detail,
        }
    } else {
        // SAFETY: points into a live map value.
        event.record = unsafe { *record };
    }
    describe(sock, event);
    maps::submit_event(entry);
}

/// What the socket looks like now. Without branches, each of which would double the verifier's work:
/// a full socket can be read, and what this kernel does not have stays zero.
#[inline(always)]
fn describe(sock: Sock, event: &mut EventRecord) {
    // One place each, used again and again: the stack has no room to spare.
    let (mut word, mut half, mut byte) = (0_u64, 0_u32, 0_u8);
    event.cookie = 0;
    event.error = 0;
    event.keepalive_idle = 0;
    event.keepalive_interval = 0;
    event.keepalive_probes = 0;
    event.unacknowledged = 0;
    event.unread = 0;
    event.bytes_sent = 0;
    event.bytes_received = 0;
    let mut reader = FieldReader::of(sock.0);
    reader.field(&raw mut event.cookie, fields::cookie());
    reader.field(&raw mut event.error, fields::err());
    reader.field(&raw mut event.keepalive_idle, fields::keepalive_time());
    reader.field(&raw mut event.keepalive_interval, fields::keepalive_intvl());
    reader.field(&raw mut event.keepalive_probes, fields::keepalive_probes());
    reader.field(&raw mut event.unacknowledged, fields::write_seq());
    reader.field(&raw mut half, fields::snd_una());
    event.unacknowledged = event.unacknowledged.wrapping_sub(half);
    reader.field(&raw mut event.unread, fields::rcv_nxt());
    reader.field(&raw mut half, fields::copied_seq());
    event.unread = event.unread.wrapping_sub(half);
    reader.field(&raw mut event.bytes_sent, fields::bytes_sent());
    reader.field(&raw mut event.bytes_received, fields::bytes_received());
    reader.field(&raw mut byte, fields::is_mptcp());
    event.flags |= u16::from(byte & 1) * event_flags::MPTCP;
    reader.field(&raw mut word, fields::flags());
    let dead = (word >> (kernel!(flag_dead) & 63) & 1) as u8;
    event.flags |= u16::from(dead) * event_flags::ORPHAN;
    let on = (word >> (kernel!(flag_keepopen) & 63) & 1) as u8;
    let own = event.keepalive_idle | event.keepalive_interval | u32::from(event.keepalive_probes);
    // OFF, DEFAULT or CUSTOM.
    event.keepalive = on + on * is_set(own);
    event.silence_ns = silence(sock);
    reader.field(&raw mut word, fields::net());
    started(sock, event);
    // Those of the namespace where the socket has none.
    let mut reader = FieldReader::of(word);
    if event.keepalive_idle == 0 {
        reader.field(
            &raw mut event.keepalive_idle,
            fields::sysctl_keepalive_time(),
        );
    }
    if event.keepalive_interval == 0 {
        reader.field(
            &raw mut event.keepalive_interval,
            fields::sysctl_keepalive_intvl(),
        );
    }
    if event.keepalive_probes == 0 {
        reader.field(
            &raw mut event.keepalive_probes,
            fields::sysctl_keepalive_probes(),
        );
    }
    if event.record.state == state::SYN_SENT {
        event.flags |= event_flags::UNHEARD;
        event.silence_ns = EventRecord::UNKNOWN;
        if let Some(elapsed) = sock.syn_sent_elapsed_ns() {
            event.established_ns = event.at_ns.saturating_sub(elapsed);
        }
    }
}

/// Since any segment of the peer came. Apart, since [`emit`] has no stack to spare.
#[inline(never)]
fn silence(sock: Sock) -> u64 {
    sock.silence_ns().unwrap_or(EventRecord::UNKNOWN)
}

/// When the connection began, who accepted it, and how it is closed. Apart, as [`silence`] is.
#[inline(never)]
fn started(sock: Sock, event: &mut EventRecord) {
    event.established_ns = 0;
    event.accepted_by = 0;
    event.idle_before_close_ns = EventRecord::UNKNOWN;
    if let Some(start) = maps::start(sock.0) {
        event.established_ns = start.established_ns;
        event.accepted_by = start.accepted_by;
        if let Some(idle) = idle_before_close_ns(start) {
            event.idle_before_close_ns = idle;
        }
    }
}

/// For how long a connection had been idle when we closed it, if we did.
#[inline(always)]
pub fn idle_before_close_ns(start: Start) -> Option<u64> {
    if start.flags & Start::CLOSING == 0 {
        return None;
    }
    span_ns(start.idle_jiffies)
}

/// 1 for all but 0.
#[inline(always)]
const fn is_set(word: u32) -> u8 {
    ((word | word.wrapping_neg()) >> 31) as u8
}

/// Reports the end of a request socket, or its reset; `record` has its owner, its beginning and how it
/// ended. The address may be unknown, 0.
#[inline(never)]
pub fn request(kind: u8, request: Sock, record: &Record, flags: u16) {
    let Some(mut entry) = maps::reserve_event() else {
        lost(kind);
        return;
    };
    let overflowed = event_flags::GROUP_OVERFLOWED * u16::from(maps::overflows(&record.group()));
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let event = unsafe { &mut *place };
    blank(event, kind, event_flags::REQUEST | flags | overflowed);
    event.sock = request.0;
    event.established_ns = record.first_ns;
    event.record = *record;
    FieldReader::of(request.0).field(&raw mut event.cookie, fields::cookie());
    maps::submit_event(entry);
}

/// Reports a reset that answers a segment of no connection, if anybody watches.
#[inline(always)]
pub fn stray_reset(segment: Segment, net: &NetKey, group: &GroupKey, reason: u32) {
    if is_watched() {
        emit_stray(segment, net, group, reason as u8);
    }
}

#[inline(never)]
fn emit_stray(segment: Segment, net: &NetKey, group: &GroupKey, reason: u8) {
    let Some(mut entry) = maps::reserve_event() else {
        lost(event_kind::RESET_SENT);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, which stays reserved until it is submitted.
    let event = unsafe { &mut *place };
    blank(event, event_kind::RESET_SENT, event_flags::STRAY);
    event.record = NO_RECORD;
    event.record.net = *net;
    event.record.cgroup = group.cgroup;
    event.record.direction = group.direction;
    event.record.reset_reason = reason;
    // Without its addresses it is reported all the same.
    let _ = segment.ends(&mut event.record);
    maps::submit_event(entry);
}

/// Fills in an event of what is no full socket, its record apart.
#[inline(always)]
fn blank(event: &mut EventRecord, kind: u8, flags: u16) {
    event.kind = kind;
    event.padding = [0; 7];
    event.flags = flags | event_flags::NO_RECORD;
    event.at_ns = now_ns();
    event.sock = 0;
    event.cookie = 0;
    event.established_ns = 0;
    event.accepted_by = 0;
    event.silence_ns = EventRecord::UNKNOWN;
    event.idle_before_close_ns = EventRecord::UNKNOWN;
    event.keepalive_idle = 0;
    event.keepalive_interval = 0;
    event.unacknowledged = 0;
    event.unread = 0;
    event.bytes_sent = 0;
    event.bytes_received = 0;
    event.error = 0;
    event.keepalive_probes = 0;
    event.keepalive = keepalive::UNKNOWN;
}

/// Counts what found no room.
#[inline(always)]
fn lost(kind: u8) {
    maps::lose(Loss::EventsDropped);
    if kind == event_kind::DEATH {
        maps::lose(Loss::DeathRecordsLost);
    }
}

/// Reports that the outstanding probe or retransmission was answered, if anybody watches: before the
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
    let kind = if answered.recovers() {
        event_kind::RECOVERY
    } else {
        event_kind::ANSWER
    };
    emit(
        What::new(kind),
        sock,
        record,
        Outstanding::NONE,
        state::CLOSE,
    );
}
