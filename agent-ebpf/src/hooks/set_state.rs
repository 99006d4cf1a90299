//! `sock:inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`, and the function it
//! stands in, `void tcp_set_state(struct sock *sk, int state)`, net/ipv4/tcp.c: what a change to
//! CLOSE means where it happens.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Event, Loss, TimerContext, state};

use crate::{
    death::ending,
    fields, identity, maps, record,
    sock::{SHUTDOWN_MASK, Sock},
    start_times, timer_context,
};

/// Values of `sk_err` (include/uapi/asm-generic/errno.h).
pub const ECONNABORTED: u32 = 103;
const ECONNREFUSED: u32 = 111;

#[inline(always)]
fn changed(ctx: &impl EbpfContext, sock: u64, old: Option<u8>, new: i32) {
    // Every connection passes here several times: nothing else is looked at for most changes. The
    // less is done for a process that connects the better: while a program runs there the kernel does
    // not run it again for what interrupts it.
    let is_established = new == i32::from(state::ESTABLISHED);
    let is_closing = new == i32::from(state::FIN_WAIT1);
    let is_listening = new == i32::from(state::LISTEN);
    let is_other = !is_established && !is_closing && !is_listening;
    if is_other && new != i32::from(state::CLOSE) || !maps::is_active() {
        return;
    }
    if is_listening {
        if Sock(sock).is_tcp() && identity::listens(Sock(sock)).is_none() {
            maps::lose(Loss::Unreadable);
        }
        return;
    }
    if is_closing {
        maps::closing(sock, || Sock(sock).idle_jiffies());
        return;
    }
    timer_context::set_changing(true);
    established_or_closed(ctx, sock, old, is_established);
    timer_context::set_changing(false);
}

#[inline(always)]
fn established_or_closed(ctx: &impl EbpfContext, sock: u64, old: Option<u8>, is_established: bool) {
    let sock = Sock(sock);
    let Some(old) = old.or_else(|| sock.get(fields::state())) else {
        maps::lose(Loss::Unreadable);
        return;
    };
    if is_established {
        if sock.is_tcp() {
            start_times::establish(sock.0);
        }
        return;
    }
    if old == state::CLOSE || !sock.is_tcp() {
        return;
    }
    if old == state::LISTEN {
        if identity::listens_no_more(sock).is_none() {
            maps::lose(Loss::Unreadable);
        }
        return;
    }
    if old == state::SYN_SENT && sock.local_port() == Some(0) {
        if without_port(sock).is_none() {
            maps::lose(Loss::Unreadable);
        }
        return;
    }
    if closed(ctx, sock, old).is_none() {
        maps::lose(Loss::Unreadable);
    }
    maps::close(sock.0);
}

/// connect() enters SYN_SENT, looks for a local port, and leaves it again when there is none
/// (`tcp_v4_connect`, `tcp_v6_connect`): no SYN was sent.
#[inline(always)]
fn without_port(sock: Sock) -> Option<()> {
    record::count(&identity::group(sock)?, Event::ConnectWithoutPort, 1);
    Some(())
}

#[inline(always)]
fn closed(ctx: &impl EbpfContext, sock: Sock, old: u8) -> Option<()> {
    let current = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let current = unsafe { &mut *current };
    if timer_context::around(sock).is_some() {
        timer_context::note_ending(current, sock)?;
    } else {
        outside(current, sock, old)?;
    }
    debug!(ctx, "closed: state {}, sock {:x}", old, sock.0);
    timer_context::end(sock, old)
}

/// Notes what a change to CLOSE outside every timer context means.
#[inline(always)]
fn outside(current: &mut TimerContext, sock: Sock, old: u8) -> Option<()> {
    timer_context::clear_ending(current);
    if current.reset == sock.0 {
        current.reset = 0;
        return Some(());
    }
    current.closing = sock.0;
    current.closing_state = old;
    let error = sock.get(fields::err())?;
    if let Some(ending) = outside_timers(sock, error, old)? {
        current.ending = ending as u8;
    } else if let Some(ending) = inferred(sock, error, old)? {
        current.ending = ending as u8;
        current.inferred = 1;
    }
    Some(())
}

/// What a change to CLOSE means outside every timer context, and without a reset received.
/// None where a reset of ours may follow, which shows it: `__tcp_close` has set `sk_shutdown` before.
#[inline(always)]
fn outside_timers(sock: Sock, error: u32, old: u8) -> Option<Option<Ending>> {
    if error == 0 {
        return if old == state::SYN_SENT {
            abandoned(sock)
        } else {
            Some(None)
        };
    }
    // tcp_abort() sets it just before, and nobody else does; a SYN_SENT or LAST_ACK gets no reset.
    if error == ECONNABORTED {
        return Some(Some(Ending::Abort));
    }
    Some(match old {
        state::SYN_SENT => Some(by_icmp(error)),
        // A Fast Open child: tcp_v4_err() and tcp_v6_err() end it as they do a connect.
        state::SYN_RECV if error != ending::ETIMEDOUT => Some(Ending::Unreachable),
        _ => None,
    })
}

/// What a change to CLOSE with an error means around which nothing was seen, as far as the socket's fields
/// tell.
#[inline(always)]
fn inferred(sock: Sock, error: u32, old: u8) -> Option<Option<Ending>> {
    if error == 0 {
        return Some(None);
    }
    let dead = sock.is_dead()?;
    if let Some(ending) = ending::of_outstanding(sock, error, old, dead)? {
        return Some(Some(ending));
    }
    let is_live = old == state::ESTABLISHED
        || old == state::SYN_RECV
        || old == state::FIN_WAIT1
        || old == state::CLOSE_WAIT;
    let is_unexplained = is_live && (dead || sock.get(fields::shutdown())? != SHUTDOWN_MASK);
    Some(is_unexplained.then_some(Ending::Unexplained))
}

/// What ICMP said of a connect: tcp_v4_err() and tcp_v6_err() make an errno of it.
#[inline(always)]
pub fn by_icmp(error: u32) -> Ending {
    if error == ECONNREFUSED {
        Ending::RefusedByIcmp
    } else {
        Ending::Unreachable
    }
}

/// What it means that a process closes or disconnects a socket in SYN_SENT. ICMP that came while the
/// process used the socket has left its error for later; SO_ERROR takes it, not what waits in the error
/// queue. Without that, and without a SYN that had to be sent again, nothing was wrong with the peer.
#[inline(always)]
fn abandoned(sock: Sock) -> Option<Option<Ending>> {
    let mut error = sock.get(fields::err_soft())?;
    if error == 0 {
        error = sock.queued_icmp_error().unwrap_or(0);
    }
    if error != 0 {
        return Some(Some(by_icmp(error)));
    }
    let is_unanswered = sock.get(fields::retransmits())? != 0;
    Some(is_unanswered.then_some(Ending::ConnectAbandoned))
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn tp_set_state(ctx: RawTracePointContext) -> i32 {
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    changed(&ctx, ctx.arg(0), Some(old as u8), new);
    0
}

#[fentry(function = "tcp_set_state")]
fn fentry_set_state(ctx: FEntryContext) -> i32 {
    changed(&ctx, ctx.arg(0), None, ctx.arg(1));
    0
}

#[kprobe(function = "tcp_set_state")]
fn kprobe_set_state(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(new)) = (ctx.arg(0), ctx.arg(1)) {
        changed(&ctx, sock, None, new);
    }
    0
}
