//! `struct sock *inet_csk_accept(struct sock *sk, …)`, net/ipv4/inet_connection_sock.c: notes in which cgroup
//! the process is that accepts a connection. The connection's own cgroup is that of its listener
//! (`cgroup_sk_clone`), which another may have made. At exit, since the function waits for a connection.

use aya_ebpf::{
    helpers::generated::bpf_get_current_cgroup_id, macros::fexit, programs::FExitContext,
};

use crate::{maps, start_times};

/// Nobody else holds the connection yet: neither is it destroyed meanwhile nor accepted again.
#[inline(always)]
fn accepted(sock: u64) {
    // NULL: there was none.
    if sock != 0 && maps::is_active() {
        // SAFETY: takes no argument.
        start_times::accept(sock, unsafe { bpf_get_current_cgroup_id() });
    }
}

/// `(struct sock *sk, struct proto_accept_arg *arg)`, Linux 6.10+.
#[fexit(function = "inet_csk_accept")]
fn fexit_accept(ctx: FExitContext) -> i32 {
    accepted(ctx.arg(2));
    0
}

/// `(struct sock *sk, int flags, int *err, bool kern)`, before.
#[fexit(function = "inet_csk_accept")]
fn fexit_accept_flags(ctx: FExitContext) -> i32 {
    accepted(ctx.arg(4));
    0
}
