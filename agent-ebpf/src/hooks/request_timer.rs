//! `void reqsk_timer_handler(struct timer_list *t)`, net/ipv4/inet_connection_sock.c: retransmits a
//! SYN-ACK, or drops the request, which no counter of the kernel tells.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::request;

#[fentry(function = "reqsk_timer_handler")]
fn fentry_request_timer(ctx: FEntryContext) -> i32 {
    request::enter(ctx.arg(0));
    0
}

#[fexit(function = "reqsk_timer_handler")]
fn fexit_request_timer(_ctx: FExitContext) -> i32 {
    request::exit(0);
    0
}

#[kprobe(function = "reqsk_timer_handler")]
fn kprobe_request_timer(ctx: ProbeContext) -> u32 {
    if let Some(timer) = ctx.arg(0) {
        request::enter(timer);
    }
    0
}

#[kretprobe(function = "reqsk_timer_handler")]
fn kretprobe_request_timer(_ctx: RetProbeContext) -> u32 {
    request::exit(0);
    0
}
