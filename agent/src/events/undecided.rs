//! Resets received that may turn out to be data after our close: held back until it is certain.
//!
//! `tcp_reset` runs for both (net/ipv4/tcp_input.c). For data the kernel then sends a reset, in the same run,
//! and the hooks report the death again, as what it was.
//!
//! # Invariants
//! Nothing is lost, and no death is reported twice.

use halfopen_common::{Ending, EventRecord, event_flags, event_kind};

/// The second report follows the first by microseconds; a processor may be kept from it for longer.
const CERTAIN_AFTER_NS: u64 = 50_000_000;

/// Those that are held back, the oldest first.
#[derive(Debug, Default)]
pub struct Undecided {
    held: Vec<HeldEvent>,
}

#[derive(Debug)]
struct HeldEvent {
    event: EventRecord,
    /// Where it stood in the buffer.
    position: u64,
}

impl Undecided {
    /// Takes an event from this position of the buffer. Returns what is to be reported of it now.
    pub fn take(&mut self, event: &EventRecord, position: u64) -> Option<EventRecord> {
        if event.flags & event_flags::UNDECIDED != 0 {
            self.held.push(HeldEvent {
                event: *event,
                position,
            });
            return None;
        }
        if event.kind == event_kind::DEATH
            && event.record.ending == Ending::ClosedWhilePeerSent as u8
            && let Some(first) = self.withdraw(event.sock)
        {
            return Some(merged(first, event));
        }
        Some(*event)
    }

    /// Forgets the reset received of this socket. Returns the death by it.
    fn withdraw(&mut self, sock: u64) -> Option<EventRecord> {
        let of_socket = |held: &HeldEvent| held.event.sock == sock;
        let is_death = |held: &HeldEvent| held.event.kind == event_kind::DEATH;
        let mut held = self.held.iter();
        let death = held.rposition(|held| of_socket(held) && is_death(held))?;
        let death = self.held.remove(death).event;
        if let Some(reset) = self.held.iter().rposition(of_socket) {
            self.held.remove(reset);
        }
        Some(death)
    }

    /// Those that are certain to be resets by now, CLOCK_MONOTONIC nanoseconds.
    pub fn certain(&mut self, now_ns: u64) -> Vec<EventRecord> {
        let is_certain =
            |held: &&HeldEvent| now_ns.saturating_sub(held.event.at_ns) >= CERTAIN_AFTER_NS;
        let certain = self.held.iter().take_while(is_certain).count();
        self.held.drain(..certain).map(|held| held.event).collect()
    }

    /// The position of the oldest that is still held.
    pub fn oldest(&self) -> Option<u64> {
        self.held.first().map(|held| held.position)
    }
}

/// The socket may have been destroyed between the two reports: the first one knows it better.
fn merged(first: EventRecord, second: &EventRecord) -> EventRecord {
    let mut event = first;
    event.flags &= !event_flags::UNDECIDED;
    event.record.ending = second.record.ending;
    if event.flags & event_flags::NO_RECORD == 0 {
        event.record.resets_received = event.record.resets_received.saturating_sub(1);
        if second.flags & event_flags::NO_RECORD != 0 {
            event.record.resets_sent += 1;
        } else {
            event.record.resets_sent = second.record.resets_sent;
        }
    }
    event.record.reset_reason = second.record.reset_reason;
    event
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn event(sock: u64, kind: u8, ending: Ending) -> EventRecord {
        let mut event = EventRecord::new_zeroed();
        event.sock = sock;
        event.kind = kind;
        event.at_ns = 1_000_000_000;
        event.record.ending = ending as u8;
        event
    }

    fn undecided(sock: u64) -> [EventRecord; 2] {
        let mut reset = event(sock, event_kind::RESET_RECEIVED, Ending::None);
        let mut death = event(sock, event_kind::DEATH, Ending::ResetReceived);
        for event in [&mut reset, &mut death] {
            event.flags = event_flags::UNDECIDED | event_flags::ORPHAN;
            event.record.resets_received = 1;
            event.record.keepalive_probes = 7;
        }
        [reset, death]
    }

    fn reported(undecided: &mut Undecided, events: &[EventRecord]) -> Vec<(u64, u8, u8)> {
        let reported = events.iter().filter_map(|event| undecided.take(event, 7));
        names(reported)
    }

    fn names(events: impl IntoIterator<Item = EventRecord>) -> Vec<(u64, u8, u8)> {
        let events = events.into_iter();
        events
            .map(|event| (event.sock, event.kind, event.record.ending))
            .collect()
    }

    #[test]
    fn a_reset_is_reported_when_nothing_else_has_come() {
        let mut held = Undecided::default();
        assert_eq!(reported(&mut held, &undecided(1)), []);
        assert_eq!(held.certain(1_000_000_000), []);
        assert_eq!(held.oldest(), Some(7));
        let reset = (1, event_kind::RESET_RECEIVED, 0);
        let death = (1, event_kind::DEATH, Ending::ResetReceived as u8);
        assert_eq!(names(held.certain(1_100_000_000)), [reset, death]);
        assert_eq!(
            (held.certain(2_000_000_000), held.oldest()),
            (Vec::new(), None)
        );
    }

    #[test]
    fn data_after_our_close_takes_its_place_once() {
        let mut held = Undecided::default();
        let both = [undecided(1), undecided(2)].concat();
        assert_eq!(reported(&mut held, &both), []);
        let sent = event(1, event_kind::RESET_SENT, Ending::None);
        let mut death = event(1, event_kind::DEATH, Ending::ClosedWhilePeerSent);
        death.flags = event_flags::NO_RECORD;
        death.record.reset_reason = 62;
        assert_eq!(held.take(&sent, 8), Some(sent));
        let merged = held.take(&death, 9).unwrap();
        assert_eq!(merged.record.ending, Ending::ClosedWhilePeerSent as u8);
        // What the destroyed socket's second report lacks.
        assert_eq!(merged.record.keepalive_probes, 7);
        assert_eq!(merged.flags, event_flags::ORPHAN);
        let resets = (merged.record.resets_sent, merged.record.resets_received);
        assert_eq!((resets, merged.record.reset_reason), ((1, 0), 62));
        // The other socket's is a reset.
        let rest = names(held.certain(u64::MAX));
        assert_eq!(
            rest.iter().map(|(sock, ..)| *sock).collect::<Vec<_>>(),
            [2, 2]
        );
    }

    #[test]
    fn what_is_certain_is_reported_at_once() {
        let mut held = Undecided::default();
        let others = [
            event(1, event_kind::DEATH, Ending::ResetReceived),
            event(2, event_kind::DEATH, Ending::ClosedWhilePeerSent),
        ];
        assert_eq!(reported(&mut held, &others).len(), 2);
        assert_eq!(held.certain(u64::MAX), []);
    }
}
