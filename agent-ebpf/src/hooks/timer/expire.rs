//! `timer:timer_expire_entry(struct timer_list *timer, unsigned long baseclk)` and
//! `timer:timer_expire_exit(struct timer_list *timer)`: stand in for hooks on TCP's timers where
//! functions cannot be hooked. Every kernel timer passes here: one comparison for the others.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use halfopen_common::{Loss, Outstanding, TimerContext, switch, timer_kind};

use crate::{
    death::ending,
    kernel::kernel,
    maps, record, request,
    sock::{self, Sock},
    timer_context,
};

#[raw_tracepoint(tracepoint = "timer_expire_entry")]
fn tp_timer_expire_entry(ctx: RawTracePointContext) -> i32 {
    let timer: u64 = ctx.arg(0);
    let Some(function) = sock::timer_function(timer) else {
        return 0;
    };
    if function == kernel!(keepalive_timer_fn) {
        if maps::switched(switch::TIMER_KEEPALIVE) {
            timer_context::open(
                timer_kind::KEEPALIVE,
                Sock::of_keepalive_timer(timer),
                timer,
            );
        }
    } else if function == kernel!(write_timer_fn) {
        if maps::switched(switch::TIMER_WRITE) {
            timer_context::open(timer_kind::WRITE, Sock::of_retransmit_timer(timer), timer);
        }
    } else if function == kernel!(request_timer_fn) && maps::switched(switch::TIMER_REQUESTS) {
        request::enter(timer);
    }
    0
}

#[raw_tracepoint(tracepoint = "timer_expire_exit")]
fn tp_timer_expire_exit(ctx: RawTracePointContext) -> i32 {
    // The timer itself may be gone by now: only its address is compared.
    let timer: u64 = ctx.arg(0);
    if let Some(context) = timer_context::opened_by(timer)
        && maps::is_active()
    {
        if count(context).is_none() {
            maps::lose(Loss::Unreadable);
        }
        context.sock = 0;
    }
    request::exit(timer);
    0
}

/// The socket may be gone too when it was closed inside; until a grace period has passed its memory
/// still reads as a socket.
#[inline(always)]
fn count(context: &mut TimerContext) -> Option<()> {
    let sock = Sock(context.sock);
    timer_context::recover_missed_close(context)?;
    // What closed inside has been counted.
    if context.closed {
        return Some(());
    }
    if maps::switched(switch::TIMER_RETRANSMISSIONS) && ending::retransmitted(context, sock)? {
        record::settle_known(sock);
        record::timed_out(sock, ending::was_counted(context, sock)?, 0)?;
    }
    if !maps::switched(switch::TIMER_PROBES) {
        return Some(());
    }
    let (keepalive, window) = ending::probes(context, sock)?;
    if keepalive != 0 {
        record::probed(sock, Outstanding::KEEPALIVE, keepalive, 0)?;
    }
    if window != 0 {
        record::probed(sock, Outstanding::WINDOW, window, 0)?;
    }
    Some(())
}
