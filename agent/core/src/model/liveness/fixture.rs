//! A connection that lives, with every fact known, for tests to change.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::model::connection::{
    AcceptQueue, Acceptance, CarriedBytes, Connection, Direction, Keepalive, Limits, Outstanding,
    Policy, Setting, State, Unknown,
};

/// A second, times this.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A millisecond, times this.
pub const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Keepalive on, with settings of its own: idle, interval (seconds), probes.
pub const fn keepalive(idle: u64, interval: u64, probes: u32) -> Keepalive {
    Keepalive {
        setting: Setting::Custom,
        idle: seconds(idle),
        interval: seconds(interval),
        probes,
    }
}

/// ESTABLISHED, heard a second ago, nothing outstanding; keepalive off, kernel's defaults. The RTO is
/// the smallest that Linux has at HZ=250: 200 ms and a short round trip, rounded up to 4 ms.
pub fn established() -> Connection {
    let policy = Policy::default();
    Connection {
        sock: 1,
        cookie: Some(1),
        netns: 4_026_531_840,
        local: SocketAddr::from(([10, 0, 0, 1], 443)),
        remote: SocketAddr::from(([10, 0, 0, 2], 50_000)),
        state: State::Established,
        direction: Direction::Inbound,
        owner: Ok("nginx.service".into()),
        cgroup: Ok(1),
        uid: Ok(0),
        orphaned: false,
        acceptance: Ok(Acceptance::Accepted),
        accept_queue: Err(Unknown::NotOfThisKind),
        mptcp: false,
        keepalive: Ok(Keepalive {
            setting: Setting::Off,
            idle: policy.keepalive_idle,
            interval: policy.keepalive_interval,
            probes: policy.keepalive_probes,
        }),
        user_timeout: Ok(None),
        policy: Ok(Arc::new(policy)),
        rto: Ok(milliseconds(204)),
        rtt: Ok(Duration::from_micros(100)),
        last_ack: Ok(seconds(1)),
        last_received: Ok(seconds(1)),
        last_sent: Ok(seconds(1)),
        last_out_of_window: Ok(None),
        carried: Ok(CarriedBytes::default()),
        limits: Ok(Limits::default()),
        outstanding: Ok(Outstanding {
            send_window: 65_536,
            ..Outstanding::default()
        }),
        timer: Ok(None),
        memory: Ok(4_096),
        processes: Err(Unknown::NotAskedFor),
    }
}

impl Connection {
    /// This connection, changed.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// In this state.
    pub fn in_state(self, state: State) -> Self {
        self.with(|connection| connection.state = state)
    }

    /// Closed by its application.
    pub fn orphaned(self) -> Self {
        self.with(|connection| connection.orphaned = true)
    }

    /// Not accepted, in a queue that holds 5 of 4.
    pub fn queued(self) -> Self {
        self.with(|connection| {
            connection.acceptance = Ok(Acceptance::Queued);
            connection.accept_queue = Ok(AcceptQueue::of_one(5, 4));
        })
    }

    /// With data either way and ACKs last seen this long ago.
    pub fn silent_for(self, age: Duration) -> Self {
        self.with(|connection| {
            connection.last_ack = Ok(age);
            connection.last_received = Ok(age);
            connection.last_sent = Ok(age);
        })
    }

    /// With this outstanding.
    pub fn with_outstanding(self, outstanding: Outstanding) -> Self {
        self.with(|connection| connection.outstanding = Ok(outstanding))
    }
}
