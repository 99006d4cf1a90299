//! EventDecoder of the hooks become events, in the units people use.
//!
//! # Invariants
//! No cause is decided here: the model names it.

use std::{sync::Arc, time::Duration};

use halfopen_common::{
    Ending, EventRecord, Outstanding, Record, ResetReason, direction, event_flags, event_kind,
    keepalive as guard,
};
use rustix::time::ClockId;

use crate::{
    bpf::address::address,
    host::{clock, owners::Owners},
};
use halfopen_core::model::{
    connection::{CarriedBytes, Connection, Direction, Keepalive, Known, Setting, State, Unknown},
    death::{self, Path},
    event::{Death, Event, EventKind, QueuedBytes, Sent},
    groups::Reasons,
    liveness::Evidence,
};

/// What is needed to understand decoder.
pub struct EventDecoder {
    reasons: Reasons,
    /// Jiffies of a second, where known.
    hz: Option<u64>,
    owners: Owners,
    /// CLOCK_REALTIME − CLOCK_MONOTONIC.
    wall: Duration,
}

impl EventDecoder {
    /// On a kernel with these reasons of resets and this clock.
    pub fn new(reasons: Reasons, hz: Option<u64>, owners: Owners) -> Self {
        let mut decoder = Self {
            reasons,
            hz: hz.filter(|hz| *hz > 0),
            owners,
            wall: Duration::ZERO,
        };
        decoder.set_clock();
        decoder
    }

    /// Learns the time of day, which may be set meanwhile.
    pub fn set_clock(&mut self) {
        self.wall = clock::now(ClockId::Realtime).saturating_sub(clock::now(ClockId::Monotonic));
    }

    /// The event; `None` for one of a kind this program does not know.
    pub fn event(&self, raw: &EventRecord) -> Option<Event> {
        Some(Event {
            at: self.wall + Duration::from_nanos(raw.at_ns),
            kind: self.kind(raw)?,
            connection: self.connection(raw)?,
            accepted_by: self.accepted_by(raw),
            age: age(raw),
            sent: sent(raw),
            held: of_full_socket(raw).map(|()| QueuedBytes {
                unacknowledged: raw.unacknowledged,
                unread: raw.unread,
            }),
            error: (raw.error != 0).then_some(raw.error),
        })
    }

    fn kind(&self, raw: &EventRecord) -> Option<EventKind> {
        let record = &raw.record;
        let reason = || self.reasons.name(record.reset_reason.into());
        Some(match raw.kind {
            event_kind::PROBE => EventKind::Probe(evidence(record)?),
            event_kind::TIMEOUT => EventKind::Timeout,
            event_kind::ANSWER => EventKind::Answer(evidence(record)?),
            event_kind::RECOVERY => EventKind::Recovery(evidence(record)?),
            event_kind::RESET_SENT => EventKind::ResetSent(reason()),
            event_kind::RESET_RECEIVED => EventKind::ResetReceived,
            event_kind::DEATH => {
                let known = Ending::ALL.into_iter();
                let mut endings = known.filter(|ending| *ending as u8 == record.ending);
                let ending = endings.next()?;
                let cause = death::cause(ending)?;
                let path = death::path(ending)?;
                // Without a record the reason stands nowhere.
                let has_record = raw.flags & event_flags::NO_RECORD == 0;
                let is_reset = has_record && record.resets_sent != 0;
                EventKind::Death(Death {
                    cause,
                    path,
                    reset_reason: match path {
                        // The one reason there is for it (tcp_rcv_state_process).
                        Path::ClosedWhilePeerSent => {
                            Some(self.reasons.name(ResetReason::ABORT_ON_DATA))
                        }
                        _ => is_reset.then(reason),
                    },
                    inferred: raw.flags & event_flags::INFERRED != 0,
                    idle_before_close: match raw.idle_before_close_ns {
                        EventRecord::UNKNOWN if path == Path::ClosedWhilePeerSent => {
                            Some(Err(Unknown::BeginningUnseen))
                        }
                        EventRecord::UNKNOWN => None,
                        idle => Some(Ok(Duration::from_nanos(idle))),
                    },
                })
            }
            _ => return None,
        })
    }

    fn connection(&self, raw: &EventRecord) -> Option<Connection> {
        let record = &raw.record;
        let is_stray = raw.flags & event_flags::STRAY != 0;
        let is_full = raw.flags & (event_flags::STRAY | event_flags::REQUEST) == 0;
        let silence = match raw.silence_ns {
            EventRecord::UNKNOWN if raw.flags & event_flags::UNHEARD != 0 => {
                Err(Unknown::NeverHeard)
            }
            EventRecord::UNKNOWN if is_full => Err(Unknown::NotOnThisKernel),
            EventRecord::UNKNOWN => Err(Unknown::NotOfThisKind),
            silence => Ok(Duration::from_nanos(silence)),
        };
        let user_timeout = u64::from(record.user_timeout_ms);
        let of_full = |known: bool| {
            if known {
                Ok(())
            } else {
                Err(Unknown::NotOfThisKind)
            }
        };
        let ends = [
            address(record.family, record.local, record.local_port),
            address(record.family, record.remote, record.remote_port),
        ];
        let state = if is_stray {
            State::Close
        } else {
            State::of_kernel(record.state)?
        };
        let direction = match record.direction {
            direction::INBOUND => Direction::Inbound,
            direction::OUTBOUND => Direction::Outbound,
            _ => Direction::None,
        };
        let cgroup = match record.cgroup {
            // Nobody listens there.
            0 if is_stray => Err(Unknown::NotOfThisKind),
            0 => Err(Unknown::NotOnThisKernel),
            cgroup => Ok(cgroup),
        };
        Some(Connection {
            sock: raw.sock,
            cookie: (raw.cookie != 0).then_some(raw.cookie),
            owner: self.owners.of(cgroup),
            cgroup,
            uid: of_full(!is_stray).map(|()| record.uid),
            orphaned: raw.flags & event_flags::ORPHAN != 0,
            mptcp: raw.flags & event_flags::MPTCP != 0,
            keepalive: self.keepalive(raw),
            user_timeout: of_full(is_full)
                .map(|()| (user_timeout != 0).then(|| Duration::from_millis(user_timeout))),
            last_ack: silence,
            last_received: silence,
            carried: of_full_socket(raw).map(|()| CarriedBytes {
                sent: raw.bytes_sent,
                received: raw.bytes_received,
            }),
            ..Connection::bare(
                record.net.inum,
                ends,
                state,
                direction,
                Unknown::NotInEvents,
            )
        })
    }

    fn accepted_by(&self, raw: &EventRecord) -> Known<Arc<str>> {
        of_full_socket(raw)?;
        match raw.accepted_by {
            _ if raw.record.direction != direction::INBOUND => Err(Unknown::NotOfThisKind),
            0 => Err(Unknown::AcceptUnseen),
            cgroup => self.owners.of(Ok(cgroup)),
        }
    }

    fn keepalive(&self, raw: &EventRecord) -> Known<Keepalive> {
        let setting = match raw.keepalive {
            guard::OFF => Setting::Off,
            guard::DEFAULT => Setting::Default,
            guard::CUSTOM => Setting::Custom,
            _ => return Err(Unknown::NotOfThisKind),
        };
        let hz = self.hz.ok_or(Unknown::NotOnThisKernel)?;
        let span = |jiffies: u32| Duration::from_millis(u64::from(jiffies) * 1000 / hz);
        Ok(Keepalive {
            setting,
            idle: span(raw.keepalive_idle),
            interval: span(raw.keepalive_interval),
            probes: raw.keepalive_probes.into(),
        })
    }
}

/// Whether it is of a full socket: others hold and carry nothing.
const fn of_full_socket(raw: &EventRecord) -> Known<()> {
    if raw.flags & (event_flags::REQUEST | event_flags::STRAY) == 0 {
        Ok(())
    } else {
        Err(Unknown::NotOfThisKind)
    }
}

fn age(raw: &EventRecord) -> Known<Duration> {
    if raw.flags & event_flags::STRAY != 0 {
        return Err(Unknown::NotOfThisKind);
    }
    match raw.established_ns {
        0 => Err(Unknown::BeginningUnseen),
        established => Ok(Duration::from_nanos(raw.at_ns.saturating_sub(established))),
    }
}

fn sent(raw: &EventRecord) -> Known<Sent> {
    if raw.flags & (event_flags::REQUEST | event_flags::STRAY) != 0 {
        return Err(Unknown::NotOfThisKind);
    }
    if raw.flags & event_flags::NO_RECORD != 0 {
        return Err(Unknown::NoRecord);
    }
    let record = &raw.record;
    Ok(Sent {
        keepalive_probes: record.keepalive_probes,
        keepalive_probes_answered: record.keepalive_answered,
        window_probes: record.window_probes,
        window_probes_answered: record.window_answered,
        retransmission_timeouts: record.retransmission_timeouts,
        unanswered: record.unanswered,
        resets_sent: record.resets_sent,
        resets_received: record.resets_received,
    })
}

/// What is outstanding.
const fn evidence(record: &Record) -> Option<Evidence> {
    Some(match record.outstanding {
        Outstanding::KEEPALIVE => Evidence::Keepalive,
        Outstanding::WINDOW | Outstanding::CLOSED_WINDOW => Evidence::WindowProbe,
        Outstanding::RETRANSMISSION => Evidence::Retransmission,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
