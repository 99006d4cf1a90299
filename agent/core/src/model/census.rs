//! The census: what all connections of one walk add up to.
//!
//! # Invariants
//! A connection is counted once. One whose facts are unknown is counted as unknown.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    connection::{AcceptQueue, Connection, Direction, Known, Setting, State, Unknown},
    detection::{Bucket, DetectionPath, detect},
    group::{Group, add_all},
    liveness::{Evidence, Guard, Liveness, Thresholds, classify, is_orphan},
    ports::PortUse,
};

/// The label of owners that could not be told. No owner has this name: those of units have a suffix,
/// those of paths begin with `/`.
pub const UNKNOWN_OWNER: &str = "unknown";

/// What the connections of one group add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// By state.
    pub states: BTreeMap<State, u64>,
    /// Suspects, by evidence.
    pub suspects: BTreeMap<Evidence, u64>,
    /// ESTABLISHED and idle, by guard.
    pub idle: BTreeMap<Guard, u64>,
    /// Whose peer is heard and does not acknowledge.
    pub stalled: u64,
    /// CLOSE_WAIT for longer than the threshold.
    pub stale_close_wait: u64,
    /// FIN_WAIT2 held by its application for longer than the threshold.
    pub stale_fin_wait2: u64,
    /// Handshakes not complete on our side (SYN_RECV).
    pub embryonic: u64,
    /// The accept queues of its listeners together, of those that tell.
    pub accept_queue: AcceptQueue,
    /// Kernel memory, bytes, by liveness.
    pub memory: BTreeMap<&'static str, u64>,
    /// Connections that data can cross, by keepalive setting.
    pub keepalive: BTreeMap<Setting, u64>,
    /// The same, by the time they would take to notice a peer that vanished now, each once per path.
    pub detectable: BTreeMap<(DetectionPath, Bucket), u64>,
    /// The local ports in use towards the destination that takes the greatest share of them.
    pub ports: Option<PortUse>,
}

impl Sums {
    /// Adds what another group adds up to.
    pub fn add(&mut self, other: &Self) {
        add_all(&mut self.states, &other.states);
        add_all(&mut self.suspects, &other.suspects);
        add_all(&mut self.idle, &other.idle);
        self.stalled += other.stalled;
        self.stale_close_wait += other.stale_close_wait;
        self.stale_fin_wait2 += other.stale_fin_wait2;
        self.embryonic += other.embryonic;
        self.accept_queue.add(&other.accept_queue);
        add_all(&mut self.memory, &other.memory);
        add_all(&mut self.keepalive, &other.keepalive);
        add_all(&mut self.detectable, &other.detectable);
        if let Some(ports) = other.ports {
            self.use_ports(ports);
        }
    }

    /// Takes note of the ports in use towards one destination.
    fn use_ports(&mut self, ports: PortUse) {
        self.ports = Some(self.ports.map_or(ports, |most| most.fuller(ports)));
    }
}

/// What all connections add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By group.
    pub groups: BTreeMap<Group, Sums>,
    /// Orphans, by state.
    pub orphaned: BTreeMap<State, u64>,
    /// By network namespace (inode number) and state.
    pub namespaces: BTreeMap<u32, BTreeMap<State, u64>>,
    /// Sockets, listeners included.
    pub sockets: u64,
    /// Why keepalive settings are not known, where they are not.
    pub settings_unknown: Option<Unknown>,
    /// Local ports in use whose destination the walk had no room for; `None` where none was asked about.
    pub unplaced_ports: Option<u64>,
}

impl Census {
    /// Adds the ports in use towards one destination of a group's.
    pub fn use_ports(&mut self, group: Group, ports: PortUse) {
        self.groups.entry(group).or_default().use_ports(ports);
    }

    /// Adds `count` connections that do not differ in what is assessed, which hold `memory` bytes
    /// together. Returns how they were assessed.
    pub fn add(
        &mut self,
        connection: &Connection,
        count: u64,
        memory: u64,
        thresholds: &Thresholds,
    ) -> Liveness {
        let liveness = classify(connection, thresholds).liveness;
        self.sockets += count;
        let state = connection.state;
        let states = self.namespaces.entry(connection.netns).or_default();
        *states.entry(state).or_default() += count;
        // One in FIN_WAIT2 ends in good order, and is an orphan nevertheless.
        if liveness == Liveness::Orphan || (state == State::FinWait2 && is_orphan(connection)) {
            *self.orphaned.entry(state).or_default() += count;
        }
        let sums = self.groups.entry(group(connection)).or_default();
        *sums.states.entry(state).or_default() += count;
        match liveness {
            Liveness::Suspect(evidence) => *sums.suspects.entry(evidence).or_default() += count,
            Liveness::Idle(guard) => *sums.idle.entry(guard).or_default() += count,
            Liveness::Stalled => sums.stalled += count,
            Liveness::StaleCloseWait => sums.stale_close_wait += count,
            Liveness::StaleFinWait2 => sums.stale_fin_wait2 += count,
            Liveness::Listening => {
                // A walk brings listeners one by one.
                if let Ok(queue) = connection.accept_queue {
                    sums.accept_queue.add(&queue);
                }
            }
            Liveness::Embryonic if state == State::SynRecv => sums.embryonic += count,
            _ => {}
        }
        *sums.memory.entry(liveness.as_str()).or_default() += memory;
        if !matches!(state, State::Established | State::CloseWait) {
            return liveness;
        }
        match connection.keepalive {
            Ok(keepalive) => *sums.keepalive.entry(keepalive.setting).or_default() += count,
            Err(unknown) => self.settings_unknown = Some(unknown),
        }
        let detection = detect(connection);
        for path in DetectionPath::ALL {
            if let Ok(detection) = detection.on(path) {
                let detectable = sums.detectable.entry((path, detection.bucket()));
                *detectable.or_default() += count;
            }
        }
        liveness
    }
}

/// The label of an owner: [`UNKNOWN_OWNER`] where it could not be told, nothing where there is none.
#[must_use]
pub fn owner_label(owner: &Known<Arc<str>>) -> String {
    match owner {
        Ok(owner) => owner.to_string(),
        Err(Unknown::NotOfThisKind) => String::new(),
        Err(_) => UNKNOWN_OWNER.to_owned(),
    }
}

/// The group of a connection.
#[must_use]
pub fn group(connection: &Connection) -> Group {
    Group {
        owner: owner_label(&connection.owner),
        direction: connection.direction,
        port: match connection.direction {
            Direction::None => None,
            _ => Some(connection.service_port()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::liveness::fixture::{established, keepalive, seconds};

    /// ip-sysctl.rst: with tcp_retries2 = 15 a connection lives for at least 924.6 s.
    #[test]
    fn keepalive_shortens_the_idle_path_and_a_user_timeout_both() {
        let guarded = established().with(|it| it.keepalive = Ok(keepalive(10, 5, 3)));
        let limited = guarded
            .clone()
            .with(|it| it.user_timeout = Ok(Some(seconds(40))));
        let mut census = Census::default();
        census.add(&guarded, 3, 0, &Thresholds::default());
        census.add(&limited, 2, 0, &Thresholds::default());
        let detectable = &census.groups[&group(&guarded)].detectable;
        let expected = [
            ((DetectionPath::Idle, Bucket::Seconds30), 3),
            ((DetectionPath::Idle, Bucket::Minute1), 2),
            ((DetectionPath::Data, Bucket::Minute1), 2),
            ((DetectionPath::Data, Bucket::Hour1), 3),
        ];
        assert_eq!(*detectable, expected.into());
    }

    /// Of several destinations of a group, and of several groups that are folded, the fullest counts.
    #[test]
    fn the_fullest_destination_stands_for_its_group() {
        let ports = |used| PortUse::new(used, 1, 10).unwrap();
        let group = |port| Group {
            owner: "proxy.service".to_owned(),
            direction: Direction::Outbound,
            port: Some(port),
        };
        let mut census = Census::default();
        for (port, used) in [(443, 2), (443, 7), (443, 3), (80, 1)] {
            census.use_ports(group(port), ports(used));
        }
        assert_eq!(census.groups[&group(443)].ports, Some(ports(7)));
        assert_eq!(census.groups[&group(80)].ports, Some(ports(1)));
        let mut folded = Sums::default();
        for sums in census.groups.values() {
            folded.add(sums);
        }
        folded.add(&Sums::default());
        assert_eq!(folded.ports, Some(ports(7)));
    }
}
