//! The kernel's pauses between retransmissions and between window probes.

use std::time::Duration;

/// TCP_RTO_MIN (include/net/tcp.h): the base of tcp_model_timeout(), and the floor of an RTO unless a
/// route or a sysctl lowers it.
pub const RTO_MIN: Duration = Duration::from_millis(200);

/// TCP_RESOURCE_PROBE_INTERVAL (include/net/tcp.h): until the next attempt when this host dropped the segment for want
/// of room. The back-off does not grow then.
pub const RESOURCE_PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// TCP_TIMEOUT_MIN (include/net/tcp.h) is two jiffies: the shortest timer, at the highest HZ there is.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(2);

/// The kernel counts retries in a byte (`icsk_retransmits`, `icsk_probes_out`).
pub const MOST_RETRIES: u32 = 255;

/// inet_csk_rto_backoff() (include/net/inet_connection_sock.h).
pub fn backed_off(rto: Duration, times: u32, rto_max: Duration) -> Duration {
    rto.saturating_mul(2_u32.saturating_pow(times)).min(rto_max)
}

/// Between two window probes, or before the first: tcp_probe0_when() (include/net/tcp.h). `rto_max` is the socket's
/// (`icsk_rto_max`, 120 s where it has none of its own). TCP_USER_TIMEOUT may cut it short.
#[must_use]
pub fn window_probe_pause(rto: Duration, backoff: u32, rto_max: Duration) -> Duration {
    // tcp_probe0_base() (include/net/tcp.h).
    backed_off(rto.max(RTO_MIN), backoff, rto_max)
}

/// tcp_model_timeout() (net/ipv4/tcp_timer.c): as long as that many retransmissions would take from this RTO.
pub fn model_timeout(boundary: u32, base: Duration, rto_max: Duration) -> Duration {
    let boundary = boundary.min(MOST_RETRIES);
    let ratio = rto_max.as_millis() / base.as_millis().max(1);
    let doublings = boundary.min(ratio.max(1).ilog2());
    let doubled = base.saturating_mul((2_u32.saturating_pow(doublings + 1)) - 1);
    doubled.saturating_add(rto_max.saturating_mul(boundary - doublings))
}
