//! Time to detect: how long a connection would take to notice a peer that vanished now. Where timers already run
//! against it, what they have spent is off: the figure is what is left.
//!
//! Kernel timers may fire late, by an eighth of their length at most (the granularity of
//! kernel/time/timer.c), and that much later a connection may die.
//!
//! # Invariants
//! A bound is never shorter than the kernel's own arithmetic gives.

use std::time::Duration;

use super::{
    connection::{Connection, Known, State, TimerKind, Unknown},
    liveness::is_orphan,
};

mod backoff;
mod data;
mod handshake;
mod probes;
mod retransmission;
mod settings;
#[cfg(test)]
mod tests;

pub use backoff::{RTO_MIN, window_probe_pause};

/// TCP_TIMEWAIT_LEN (include/net/tcp.h).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// How long until a vanished peer is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detection {
    /// After this long at the latest.
    Within(Duration),
    /// Nothing would ever find it.
    Never,
}

impl Detection {
    /// The bucket it falls into.
    #[must_use]
    pub fn bucket(self) -> Bucket {
        match self {
            Self::Within(after) => Bucket::BOUNDED
                .into_iter()
                .find(|(_, bound)| after <= *bound)
                .map_or(Bucket::Longer, |(bucket, _)| bucket),
            Self::Never => Bucket::Never,
        }
    }
}

/// Times to detect, put into disjoint buckets, each with its upper bound and without the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Up to 30 seconds.
    Seconds30,
    /// Up to a minute.
    Minute1,
    /// Up to 5 minutes.
    Minutes5,
    /// Up to 15 minutes.
    Minutes15,
    /// Up to an hour.
    Hour1,
    /// Up to 3 hours: the kernel's default for keepalive, 2 h 11 min 15 s, is here.
    Hours3,
    /// Longer, yet not forever.
    Longer,
    /// Nothing would ever find it.
    Never,
}

impl Bucket {
    /// All of them, the shortest first.
    pub const ALL: [Self; 8] = [
        Self::Seconds30,
        Self::Minute1,
        Self::Minutes5,
        Self::Minutes15,
        Self::Hour1,
        Self::Hours3,
        Self::Longer,
        Self::Never,
    ];

    /// Those with an upper bound, which is theirs.
    const BOUNDED: [(Self, Duration); 6] = [
        (Self::Seconds30, Duration::from_secs(30)),
        (Self::Minute1, Duration::from_secs(60)),
        (Self::Minutes5, Duration::from_secs(5 * 60)),
        (Self::Minutes15, Duration::from_secs(15 * 60)),
        (Self::Hour1, Duration::from_secs(3600)),
        (Self::Hours3, Duration::from_secs(3 * 3600)),
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds30 => "30s",
            Self::Minute1 => "1m",
            Self::Minutes5 => "5m",
            Self::Minutes15 => "15m",
            Self::Hour1 => "1h",
            Self::Hours3 => "3h",
            Self::Longer => "longer",
            Self::Never => "never",
        }
    }
}

/// Which of two code paths of the kernel would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DetectionPath {
    /// As long as nobody writes.
    Idle,
    /// With data in flight.
    Data,
}

impl DetectionPath {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Idle, Self::Data];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Data => "data",
        }
    }
}

/// Time to detect on both paths. Where a state leaves but one of them, they are the same, or the
/// other is [`Unknown::NotOfThisKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// As long as nobody writes.
    pub idle: Known<Detection>,
    /// With data in flight.
    pub data: Known<Detection>,
}

impl Paths {
    const fn both(detection: Known<Detection>) -> Self {
        Self {
            idle: detection,
            data: detection,
        }
    }

    const fn idle_only(idle: Known<Detection>) -> Self {
        Self {
            idle,
            data: Err(Unknown::NotOfThisKind),
        }
    }

    /// That of one path.
    ///
    /// # Errors
    /// When it is unknown, or the connection's state does not have that path.
    pub const fn on(&self, path: DetectionPath) -> Known<Detection> {
        match path {
            DetectionPath::Idle => self.idle,
            DetectionPath::Data => self.data,
        }
    }

    /// The path that applies to this connection at this moment.
    ///
    /// # Errors
    /// When that figure is unknown, or which path it is and the two differ.
    pub fn now(&self, connection: &Connection) -> Known<Detection> {
        match connection.state {
            State::SynSent | State::SynRecv | State::FinWait1 | State::Closing | State::LastAck => {
                self.data
            }
            State::TimeWait | State::FinWait2 | State::Listen | State::Close => self.idle,
            State::Established | State::CloseWait => match connection.outstanding {
                Ok(it) if it.packets_out > 0 || it.unsent > 0 => self.data,
                Ok(_) => self.idle,
                Err(_) if self.idle == self.data => self.idle,
                Err(unknown) => Err(unknown),
            },
        }
    }
}

/// Both figures of one connection, from its own settings.
#[must_use]
pub fn detect(connection: &Connection) -> Paths {
    match connection.state {
        State::Listen | State::Close => Paths::both(Err(Unknown::NotOfThisKind)),
        State::TimeWait => Paths::idle_only(Ok(time_wait(connection))),
        State::SynSent => Paths::both(handshake::connect(connection)),
        State::SynRecv => Paths::both(handshake::accept(connection)),
        // Our FIN is acknowledged: nothing can be in flight any more.
        State::FinWait2 if is_orphan(connection) => {
            Paths::idle_only(orphaned_fin_wait2(connection))
        }
        State::FinWait2 => Paths::idle_only(keepalive(connection)),
        // Our FIN is in flight, or waits for a window, and counts as data does.
        State::FinWait1 | State::Closing | State::LastAck => Paths::both(data::data(connection)),
        State::Established | State::CloseWait => Paths {
            idle: keepalive(connection),
            data: data::data(connection),
        },
    }
}

/// TCP_USER_TIMEOUT, where 0 means none (tcp(7)).
fn user_timeout(connection: &Connection) -> Known<Option<Duration>> {
    let user_timeout = connection.user_timeout?;
    Ok(user_timeout.filter(|user_timeout| !user_timeout.is_zero()))
}

/// tcp_keepalive_timer() in net/ipv4/tcp_timer.c. It fires when the peer has been silent for the
/// idle time, then at each interval: probes until as many are out as may be, and at the next firing
/// declares the peer dead. TCP_USER_TIMEOUT stands in for the number of probes: at the first firing
/// with a probe out at which the silence has reached it, the peer is dead.
///
/// Until the first probe the figure is that of the settings, however long the connection has been idle: its peer is
/// taken to have been heard now. With probes out it is what is left.
fn keepalive(connection: &Connection) -> Known<Detection> {
    let keepalive = connection.keepalive?;
    if !keepalive.is_on() {
        return Ok(Detection::Never);
    }
    let user_timeout = user_timeout(connection)?;
    // Until the next firing that may be the last, the silence then, and the probes out.
    let (left, silence, probes) =
        probing(connection).unwrap_or((keepalive.idle, keepalive.idle, 0));
    let intervals = match user_timeout {
        None => keepalive.probes.saturating_sub(probes),
        // Every jiffy, then: as good as at once.
        Some(user_timeout) if keepalive.interval.is_zero() => {
            let rest = user_timeout.saturating_sub(silence);
            return Ok(Detection::Within(left.saturating_add(rest)));
        }
        Some(user_timeout) => {
            let rest = user_timeout.saturating_sub(silence).as_nanos();
            let intervals = rest.div_ceil(keepalive.interval.as_nanos());
            // None is out at the first firing.
            let least = u128::from(probes == 0);
            u32::try_from(intervals.max(least)).unwrap_or(u32::MAX)
        }
    };
    let probing = keepalive.interval.saturating_mul(intervals);
    Ok(Detection::Within(left.saturating_add(probing)))
}

/// With keepalive probes out and nothing else outstanding: until the keepalive timer fires, how long the peer will have
/// been silent then (keepalive_time_elapsed() in include/net/tcp.h), and how many probes are out.
fn probing(connection: &Connection) -> Option<(Duration, Duration, u32)> {
    let outstanding = connection.outstanding.ok()?;
    let timer = connection.timer.ok().flatten()?;
    let is_idle = outstanding.packets_out == 0 && outstanding.unsent == 0;
    if !is_idle || outstanding.probes == 0 || timer.kind != TimerKind::Keepalive {
        return None;
    }
    let silence = connection
        .last_ack
        .ok()?
        .min(connection.last_received.ok()?);
    Some((
        timer.left,
        silence.saturating_add(timer.left),
        outstanding.probes,
    ))
}

/// inet_twsk_schedule(): one timer, which nothing prolongs but segments of the peer.
fn time_wait(connection: &Connection) -> Detection {
    match connection.timer {
        Ok(Some(timer)) => Detection::Within(timer.left),
        Ok(None) | Err(_) => Detection::Within(TIME_WAIT),
    }
}

/// tcp_fin_timeout, in two stages if it is longer than a minute: the excess by the keepalive timer,
/// and once more as a TIME_WAIT socket (tcp_rcv_state_process() in net/ipv4/tcp_input.c,
/// tcp_keepalive_timer() in net/ipv4/tcp_timer.c).
fn orphaned_fin_wait2(connection: &Connection) -> Known<Detection> {
    let timer = connection.timer.ok().flatten();
    if let Some(timer) = timer.filter(|timer| timer.kind == TimerKind::TimeWait) {
        return Ok(Detection::Within(timer.left));
    }
    let fin_timeout = settings::policy(connection)?.fin_timeout;
    let excess = fin_timeout.saturating_sub(TIME_WAIT);
    Ok(Detection::Within(match timer {
        Some(timer) => timer.left.saturating_add(excess),
        None => fin_timeout.max(excess.saturating_mul(2)),
    }))
}
