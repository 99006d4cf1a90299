//! What a processor knows while it runs one of TCP's timers: the frame in which a probe, a reset or
//! a change to CLOSE gets its meaning.
//! It must never outlive the timer's run: every opening has a closing, and an opening overwrites.

use halfopen_common::{Ending, Loss, ResetReason, Tally, switch};

use crate::{maps, record, sock::Sock};

/// `icsk_pending` (include/net/inet_connection_sock.h).
const ICSK_TIME_RETRANS: u8 = 1;
const ICSK_TIME_PROBE0: u8 = 3;

/// A bracket this old was left open: the kernel did not let the program run that closes it. A timer
/// runs for microseconds, if nothing keeps the processor from it.
const STALE_NS: u64 = 1_000_000_000;
/// The same where the socket alone speaks for an end: it must not have had time for another timer's
/// run, on another processor (TCP_RTO_MIN, 200 ms).
const MADE_UP_NS: u64 = 100_000_000;

/// Which timer is running.
pub mod kind {
    /// `tcp_keepalive_timer`.
    pub const KEEPALIVE: u8 = 1;
    /// `tcp_write_timer_handler`, from its timer or deferred to `tcp_release_cb`.
    pub const WRITE: u8 = 2;
    /// `tcp_retransmit_timer` called from elsewhere (ICMP).
    pub const RETRANSMIT: u8 = 3;
}

/// The running timer and what its socket looked like when it began.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bracket {
    /// The socket, 0 outside.
    pub sock: u64,
    /// The timer, for `timer_expire_exit`.
    pub timer: u64,
    /// The socket for which a reset was accepted and whose change to CLOSE follows.
    pub reset: u64,
    /// When the timer's run began.
    pub opened_ns: u64,
    /// The socket that tcp_xmit_probe_skb or tcp_write_wakeup runs for.
    pub probing: u64,
    /// The socket that last changed to CLOSE without an explanation: a reset of ours may follow.
    pub closing: u64,
    /// `segs_out` when the probe began.
    pub probing_segs_out: u32,
    /// The MIB the probe is counted under.
    pub probing_mib: u32,
    /// `segs_out`.
    pub segs_out: u32,
    /// `write_seq`.
    pub write_seq: u32,
    /// `rcv_nxt`.
    pub rcv_nxt: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// `skc_state`.
    pub state: u8,
    /// SOCK_DEAD.
    pub dead: bool,
    /// `icsk_pending`.
    pub pending: u8,
    /// `icsk_retransmits`.
    pub retransmits: u8,
    /// `icsk_probes_out`.
    pub probes_out: u8,
    /// Held by its user: the handler only defers, or runs as that one lets go.
    pub owned: bool,
    /// Data outstanding.
    pub in_flight: bool,
    /// Active resets sent inside.
    pub resets: u8,
    /// It changed to CLOSE inside.
    pub closed: bool,
    /// `tcp_write_err` closed it.
    pub timed_out: bool,
    /// The window has room for data, which goes out instead of a probe (and may fail to).
    pub sends_data: bool,
    /// The state `closing` was in before.
    pub closing_state: u8,
    /// The [`Ending`] that a change to CLOSE was found to be: put down here, where the verifier does
    /// not follow each of them apart.
    pub ending: u8,
    /// Whether the timeout that ended it is still to be counted, likewise.
    pub uncounted_timeout: u8,
    /// Whether the reset that the keepalive timer sent is.
    pub uncounted_reset: u8,
    /// Whether this processor is in the midst of the program that sees changes of state: 0 or 1. What
    /// interrupts it is a timer's run for which the kernel does not run that program again.
    pub changing: u8,
}

/// Notes that the program that sees changes of state begins or ends on this processor.
#[inline(always)]
pub fn set_changing(changing: bool) {
    if let Some(bracket) = maps::bracket() {
        // SAFETY: points into a live map value; no reference is made.
        let noted = unsafe { &raw mut (*bracket).changing };
        // SAFETY: as above; volatile, for whoever interrupts.
        unsafe { noted.write_volatile(u8::from(changing)) };
    }
}

/// Opens the bracket around a timer's run.
#[inline(always)]
pub fn open(kind: u8, sock: Sock, timer: u64) {
    if maps::is_active() && try_open(kind, sock, timer).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(never)]
fn try_open(kind: u8, sock: Sock, timer: u64) -> Option<()> {
    let bracket = maps::bracket()?;
    // SAFETY: per-CPU value; timers of one processor do not nest.
    let bracket = unsafe { &mut *bracket };
    bracket.sock = 0;
    bracket.state = sock.state()?;
    bracket.dead = sock.is_dead()?;
    bracket.pending = sock.pending()?;
    bracket.in_flight = sock.packets_out()? != 0;
    bracket.owned = sock.owned()? != 0;
    bracket.resets = 0;
    bracket.closed = false;
    bracket.timed_out = false;
    if timer != 0 {
        bracket.segs_out = sock.segs_out()?;
        bracket.write_seq = sock.write_seq()?;
        bracket.rcv_nxt = sock.rcv_nxt()?;
        bracket.retransmits = sock.retransmits()?;
        bracket.probes_out = sock.probes_out()?;
        bracket.sends_data = sock.would_send_data()?;
    }
    bracket.timer = timer;
    bracket.opened_ns = maps::now_ns();
    bracket.kind = kind;
    bracket.sock = sock.0;
    record::settle_known(sock);
    Some(())
}

/// The bracket this socket is in on this processor.
#[inline(always)]
pub fn around(sock: Sock) -> Option<&'static mut Bracket> {
    let bracket = maps::bracket()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let bracket = unsafe { &mut *bracket };
    (bracket.sock == sock.0 && bracket.is_open(sock)).then_some(bracket)
}

/// Closes the bracket after `timer`'s run (0: whichever is open) and gives what it held.
#[inline(always)]
pub fn close(timer: u64) -> Option<&'static mut Bracket> {
    let bracket = maps::bracket()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let bracket = unsafe { &mut *bracket };
    if bracket.sock == 0 || bracket.timer != timer {
        return None;
    }
    Some(bracket)
}

/// Closes the bracket of a function hook.
#[inline(always)]
pub fn clear(kind: u8) {
    if maps::is_active()
        && let Some(bracket) = close(0)
        && bracket.kind == kind
    {
        if bracket.make_up().is_none() {
            maps::lose(Loss::Unreadable);
        }
        bracket.sock = 0;
    }
}

/// Counts and tells the end that was put down in the running processor's bracket; `state` is the one
/// that the socket was in.
#[inline(never)]
pub fn end(sock: Sock, state: u8) -> Option<()> {
    let current = maps::bracket()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let current = unsafe { &mut *current };
    // SAFETY: a field of a live map value.
    let ending = unsafe { core::ptr::read_volatile(&raw const current.ending) };
    if ending == Ending::None as u8 {
        return Some(());
    }
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const current.uncounted_timeout) } != 0 {
        // Before the end is told, of which it is a part.
        record::timed_out(sock)?;
    }
    let touched = record::touch(sock)?;
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const current.uncounted_reset) } != 0 {
        maps::tally(&touched.net, Tally::OutRsts, 1);
        record::reset_sent(sock, &touched, ResetReason::KEEPALIVE_TIMEOUT);
    }
    record::ended(sock, &touched, ending, state);
    Some(())
}

impl Bracket {
    /// Whether this is still the timer's run. A process that holds its socket now cannot have taken it
    /// from a timer that had it: that one holds the socket's spin lock.
    #[inline(always)]
    fn is_open(&self, sock: Sock) -> bool {
        self.is_younger(STALE_NS) && sock.owned().is_some_and(|owned| (owned != 0) == self.owned)
    }

    /// Whether the timer's run began so recently.
    #[inline(always)]
    pub fn is_younger(&self, age_ns: u64) -> bool {
        maps::now_ns().wrapping_sub(self.opened_ns) < age_ns
    }

    /// Puts down what a change to CLOSE inside this bracket means.
    #[inline(always)]
    pub fn closes(&mut self, sock: Sock) -> Option<()> {
        self.clear_ending();
        if let Some(ending) = self.find_ending(sock) {
            let timed_out =
                maps::switched(switch::TIMER_RETRANSMISSIONS) && self.retransmitted(sock)?;
            self.uncounted_timeout = u8::from(timed_out);
            // Before tcp_write_err() the keepalive timer always sends a reset.
            let reset = self.kind == kind::KEEPALIVE && self.timed_out && self.resets == 0;
            self.uncounted_reset = u8::from(reset);
            self.ending = ending as u8;
        }
        Some(())
    }

    /// Forgets what an earlier change to CLOSE was found to be.
    #[inline(always)]
    pub fn clear_ending(&mut self) {
        self.ending = Ending::None as u8;
        self.uncounted_timeout = 0;
        self.uncounted_reset = 0;
    }

    /// Tells the end of a socket that has closed inside this bracket while the kernel did not run the
    /// program that sees changes of state: it interrupted that very program, run for a process. At
    /// any other time that program has told, or another processor's has: it may close a socket for
    /// whose lock the timer's run waits.
    #[inline(always)]
    pub fn make_up(&mut self) -> Option<()> {
        let sock = Sock(self.sock);
        let state = halfopen_common::state::CLOSE;
        if self.closed
            || self.state == state
            || sock.state()? != state
            || !self.is_younger(MADE_UP_NS)
            || !self.is_untold(sock)?
        {
            return Some(());
        }
        maps::close(sock.0);
        // What the interrupted program has put down is still to be read by it.
        let interrupted = [self.ending, self.uncounted_timeout, self.uncounted_reset];
        let told = self.closes(sock).and_then(|()| end(sock, self.state));
        [self.ending, self.uncounted_timeout, self.uncounted_reset] = interrupted;
        told
    }

    /// Whether the change to CLOSE was not seen. Where no beginning was noted either, it is taken for
    /// that when the program that sees it was interrupted for sure, or when the error is the one that
    /// tcp_write_err() alone sets and no end was told.
    #[inline(always)]
    fn is_untold(&self, sock: Sock) -> Option<bool> {
        const ETIMEDOUT: i32 = 110;
        if let Some(seen) = maps::was_closed(sock.0) {
            return Some(!seen);
        }
        // SAFETY: a field of a live map value.
        let changing = unsafe { core::ptr::read_volatile(&raw const self.changing) };
        Some(changing != 0 || sock.err()? == ETIMEDOUT && !record::has_ended(sock))
    }

    /// What a change to CLOSE inside this bracket means, and notes it.
    #[inline(always)]
    pub fn find_ending(&mut self, sock: Sock) -> Option<Ending> {
        self.closed = true;
        let user_timeout = sock.user_timeout()? != 0;
        if self.kind == kind::KEEPALIVE {
            if self.state == halfopen_common::state::FIN_WAIT2 && self.dead {
                // tcp_time_wait() is orderly; only tcp_send_active_reset() + tcp_done() is an end.
                return (self.resets != 0).then_some(Ending::OrphanFinWait2);
            }
            self.timed_out = true;
            return Some(match (self.dead, user_timeout) {
                (true, _) => Ending::Orphan,
                (false, true) => Ending::KeepaliveUserTimeout,
                (false, false) => Ending::Keepalive,
            });
        }
        // tcp_write_err() sets sk_err before the state; tcp_out_of_resources(), of orphans alone, sets
        // none. Whoever holds the socket may have read it meanwhile.
        if self.dead && sock.err()? == 0 {
            return Some(Ending::OrphanMemory);
        }
        self.timed_out = true;
        if self.dead {
            return Some(Ending::Orphan);
        }
        Some(match self.state {
            halfopen_common::state::SYN_SENT => Ending::Connect,
            halfopen_common::state::SYN_RECV => Ending::Accept,
            _ => match (self.pending, user_timeout) {
                (ICSK_TIME_PROBE0, false) => Ending::WindowProbe,
                (ICSK_TIME_PROBE0, true) => Ending::WindowProbeUserTimeout,
                (ICSK_TIME_RETRANS, false) => Ending::Retransmission,
                (ICSK_TIME_RETRANS, true) => Ending::RetransmissionUserTimeout,
                _ if self.kind == kind::RETRANSMIT => Ending::Retransmission,
                _ => Ending::Timer,
            },
        })
    }

    /// Keepalive or window probes sent inside, judged by `segs_out`, for kernels where only the
    /// timer can be watched: (keepalive, window).
    #[inline(always)]
    pub fn probes(&self, sock: Sock) -> Option<(u32, u32)> {
        let sent = sock.segs_out()?.wrapping_sub(self.segs_out);
        let counted = sock.probes_out()?;
        if self.kind == kind::KEEPALIVE {
            // The socket is unlocked again here: a segment sent since must not pass for a probe.
            let quiet = sock.write_seq()? == self.write_seq && sock.rcv_nxt()? == self.rcv_nxt;
            let sure = sent != 0 && (quiet || counted > self.probes_out);
            return Some((if quiet { sent } else { u32::from(sure) }, 0));
        }
        // tcp_send_probe0() counts every probe, and starts anew when data went out instead.
        let probed = self.pending == ICSK_TIME_PROBE0
            && !self.owned
            && !self.sends_data
            && sent != 0
            && counted == self.probes_out.wrapping_add(1);
        Some((0, u32::from(probed)))
    }

    /// Whether the retransmission timer fired inside with data outstanding, likewise.
    #[inline(always)]
    pub fn retransmitted(&self, sock: Sock) -> Option<bool> {
        if self.kind != kind::WRITE
            || self.pending != ICSK_TIME_RETRANS
            || self.owned
            || !self.in_flight
        {
            return Some(false);
        }
        Some(self.timed_out || sock.retransmits()? > self.retransmits)
    }
}

const _: () = assert!(size_of::<Bracket>() == halfopen_common::layout::BRACKET_BYTES);
