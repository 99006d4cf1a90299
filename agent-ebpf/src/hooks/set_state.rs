//! `sock:inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`, and the function it
//! stands in, `void tcp_set_state(struct sock *sk, int state)`, net/ipv4/tcp.c: what a change to
//! CLOSE means where it happens.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Loss, state};

use crate::{
    bracket::{self, Bracket},
    maps,
    sock::{SHUTDOWN_MASK, Sock},
};

#[inline(always)]
fn changed(ctx: &impl EbpfContext, sock: u64, old: Option<u8>, new: i32) {
    // Every connection passes here several times: nothing else is looked at for most changes. The
    // less is done for a process that connects the better: while a program runs there the kernel does
    // not run it again for what interrupts it.
    let begins = new == i32::from(state::ESTABLISHED);
    if !begins && new != i32::from(state::CLOSE) || !maps::is_active() {
        return;
    }
    bracket::set_changing(true);
    begins_or_closes(ctx, sock, old, begins);
    bracket::set_changing(false);
}

#[inline(always)]
fn begins_or_closes(ctx: &impl EbpfContext, sock: u64, old: Option<u8>, begins: bool) {
    let sock = Sock(sock);
    let Some(old) = old.or_else(|| sock.state()) else {
        maps::lose(Loss::Unreadable);
        return;
    };
    if begins {
        if sock.is_tcp() {
            maps::begin(sock.0);
        }
        return;
    }
    if old == state::LISTEN || old == state::CLOSE || !sock.is_tcp() {
        return;
    }
    if closed(ctx, sock, old).is_none() {
        maps::lose(Loss::Unreadable);
    }
    maps::close(sock.0);
}

#[inline(always)]
fn closed(ctx: &impl EbpfContext, sock: Sock, old: u8) -> Option<()> {
    let current = maps::bracket()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let current = unsafe { &mut *current };
    if bracket::around(sock).is_some() {
        current.closes(sock)?;
    } else {
        outside(current, sock, old)?;
    }
    debug!(ctx, "closed: state {}, sock {:x}", old, sock.0);
    bracket::end(sock, old)
}

/// Puts down what a change to CLOSE outside every frame means.
#[inline(always)]
fn outside(current: &mut Bracket, sock: Sock, old: u8) -> Option<()> {
    current.clear_ending();
    if current.reset == sock.0 {
        current.reset = 0;
        return Some(());
    }
    current.closing = sock.0;
    current.closing_state = old;
    if let Some(ending) = unframed(sock, old)? {
        current.ending = ending as u8;
    }
    Some(())
}

/// What a change to CLOSE with an error means outside every frame, and without a reset received. None
/// where a reset of ours may follow, which tells: `__tcp_close` has set `sk_shutdown` before.
#[inline(always)]
fn unframed(sock: Sock, old: u8) -> Option<Option<Ending>> {
    const ECONNABORTED: i32 = 103;
    let error = sock.err()?;
    if error == 0 {
        return Some(None);
    }
    // tcp_abort() sets it just before, and nobody else does; a SYN_SENT or LAST_ACK gets no reset.
    if error == ECONNABORTED {
        return Some(Some(Ending::Abort));
    }
    Some(match old {
        state::SYN_SENT => Some(Ending::ConnectError),
        state::ESTABLISHED | state::SYN_RECV | state::FIN_WAIT1 | state::CLOSE_WAIT
            if sock.is_dead()? || sock.shutdown()? != SHUTDOWN_MASK =>
        {
            Some(Ending::Unexplained)
        }
        _ => None,
    })
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
