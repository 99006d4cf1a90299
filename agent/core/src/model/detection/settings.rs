//! What of a connection's settings decides how long the kernel tries.

use std::time::Duration;

use super::user_timeout;
use crate::model::connection::{Connection, Known, Limits, Policy};

/// What tcp_orphan_retries() takes 0 for, as long as the RTO is below its maximum.
const ORPHAN_RETRIES: u32 = 8;

/// The limits and the RTO of one socket.
pub struct Settings {
    /// The RTO now, back-off included.
    pub rto: Duration,
    /// The longest.
    pub rto_max: Duration,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
}

impl Settings {
    /// Those of this connection.
    pub fn of(connection: &Connection) -> Known<Self> {
        Ok(Self {
            rto: rto(connection)?,
            rto_max: rto_max(connection)?,
            user_timeout: user_timeout(connection)?,
        })
    }
}

/// tcp_orphan_retries(). An ICMP error, which may make it give up at once, is not known here.
pub const fn orphan_retries(policy: &Policy, alive: bool) -> u32 {
    if policy.orphan_retries == 0 && alive {
        ORPHAN_RETRIES
    } else {
        policy.orphan_retries
    }
}

/// The connection's RTO, back-off included; a jiffy at least, at the highest HZ there is.
pub fn rto(connection: &Connection) -> Known<Duration> {
    connection.rto.map(|rto| rto.max(Duration::from_millis(1)))
}

/// The longest RTO (`icsk_rto_max`): from a second to 120 s (tcp_rto_max_ms in net/ipv4/sysctl_net_ipv4.c).
pub fn rto_max(connection: &Connection) -> Known<Duration> {
    let least = Duration::from_secs(1);
    connection
        .limits
        .map(|limits| limits.rto_max.clamp(least, Limits::RTO_MAX))
}

pub fn policy(connection: &Connection) -> Known<&Policy> {
    match &connection.policy {
        Ok(policy) => Ok(policy),
        Err(unknown) => Err(*unknown),
    }
}
