//! The kernel's pauses between retransmissions and between window probes.

use std::time::Duration;

/// TCP_RTO_MIN (include/net/tcp.h): the base of tcp_model_timeout(), and the floor of an RTO unless a
/// route or a sysctl lowers it.
pub const RTO_MIN: Duration = Duration::from_millis(200);

/// TCP_RTO_MAX (include/net/tcp.h); 6.15 and later can lower it, and are quicker then.
pub const RTO_MAX: Duration = Duration::from_secs(120);

/// inet_csk_rto_backoff() (include/net/inet_connection_sock.h).
pub fn backed_off(rto: Duration, times: u32) -> Duration {
    rto.saturating_mul(2_u32.saturating_pow(times)).min(RTO_MAX)
}

/// Between two window probes, or before the first: tcp_probe0_when() (include/net/tcp.h).
/// TCP_USER_TIMEOUT may cut it short.
#[must_use]
pub fn window_probe_pause(rto: Duration, backoff: u32) -> Duration {
    backed_off(probe0_base(rto), backoff)
}

/// tcp_probe0_base() (include/net/tcp.h).
pub fn probe0_base(rto: Duration) -> Duration {
    rto.max(RTO_MIN)
}
