//! `void reqsk_timer_handler(struct timer_list *t)`, net/ipv4/inet_connection_sock.c: retransmits a
//! SYN-ACK, or drops the request, which no counter of the kernel counts.

use super::hook::timer_hook;
use crate::request;

timer_hook!(
    "reqsk_timer_handler",
    request::enter,
    request::exit(0),
    fentry_request_timer,
    fexit_request_timer,
    kprobe_request_timer,
    kretprobe_request_timer,
);
