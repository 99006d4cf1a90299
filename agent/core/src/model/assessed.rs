//! Connections with what is thought of them, and the reading they come from.

use std::cmp::Ordering;

use super::{
    connection::{Acceptance, Connection, Known, State},
    detection::{Detection, Paths, detect},
    liveness::{ACCEPT_GRACE, Liveness, Thresholds, Verdict, classify, is_full},
};

/// One connection and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// The facts.
    pub connection: Connection,
    /// Whether it lives.
    pub verdict: Verdict,
    /// How long it would take to notice that its peer has vanished.
    pub detection: Paths,
}

impl Assessed {
    /// Assesses a connection.
    #[must_use]
    pub fn new(connection: Connection, thresholds: &Thresholds) -> Self {
        Self {
            verdict: classify(&connection, thresholds),
            detection: detect(&connection),
            connection,
        }
    }

    /// Whether it is worth worrying about: a zombie (suspects are), stopped by a closed window or by losses, kept waiting
    /// by an application that does not accept it, or a connect whose SYN was sent again for want of an answer.
    #[must_use]
    pub fn is_noteworthy(&self) -> bool {
        let connection = &self.connection;
        match self.verdict.liveness {
            Liveness::ZeroWindow | Liveness::Stalled => true,
            Liveness::Unaccepted => {
                is_full(connection) || connection.last_sent.is_ok_and(|age| age >= ACCEPT_GRACE)
            }
            Liveness::Embryonic if connection.state == State::SynSent => {
                connection.outstanding.is_ok_and(|it| it.retransmits > 0)
            }
            Liveness::Embryonic => connection.acceptance == Ok(Acceptance::AckDropped),
            Liveness::Listening => is_full(connection),
            liveness => liveness.is_zombie(),
        }
    }

    /// Time to detect on the path it is on: with data in flight, or without.
    ///
    /// # Errors
    /// When that figure is unknown, or the path is and the two differ.
    pub fn detect_now(&self) -> Known<Detection> {
        self.detection.now(&self.connection)
    }

    /// The order in which to worry: the worst verdict first, then the longest silence, then the
    /// most memory, where an unknown figure comes after all others; then by address, so that two
    /// readings show the same order.
    #[must_use]
    pub fn worst_first(a: &Self, b: &Self) -> Ordering {
        let figures = |assessed: &Self| {
            (
                assessed.verdict.liveness.severity(),
                assessed.connection.silence().ok(),
                assessed.connection.memory.ok(),
            )
        };
        let place = |assessed: &Self| {
            let connection = &assessed.connection;
            (
                connection.local,
                connection.remote,
                connection.netns,
                connection.sock,
            )
        };
        figures(b)
            .cmp(&figures(a))
            .then_with(|| place(a).cmp(&place(b)))
    }
}

/// Which connections a reading is to have.
pub type Predicate = Box<dyn Fn(&Connection) -> bool + Send>;

/// How much a reading is to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListOptions {
    /// Only this network namespace, by its inode number.
    pub netns: Option<u32>,
    /// Connections at most.
    pub most: usize,
    /// Whether the processes that hold them are to be named.
    pub processes: NameProcesses,
}

/// When the processes that hold connections are to be named, which takes a look at every descriptor of every
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProcesses {
    /// They are not.
    Never,
    /// Where cgroups tell nothing: no connection has an owner but [`super::owner::ROOT`].
    WithoutOwners,
    /// They are.
    Always,
}

/// What one look at the kernel's sockets brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionList {
    /// The connections read; the reader may have left out those that cannot matter to the question.
    pub connections: Vec<Connection>,
    /// Network namespaces known to exist that could not be seen.
    pub unseen_namespaces: u64,
    /// Connections found, those left out included.
    pub total: u64,
    /// Wanted connections that were left out, since there were more than asked for.
    pub left_out: u64,
    /// Times the reader lost its place, as tables changed under it: each time it may have missed a
    /// few connections.
    pub incomplete: u64,
    /// Where the facts come from.
    pub source: ReadMethod,
}

/// Where facts about connections come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadMethod {
    /// The kernel's own tables of sockets, read by BPF.
    Tables,
    /// sock_diag (netlink), the fallback.
    SockDiag,
}

impl ReadMethod {
    /// Its name, for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tables => "bpf",
            Self::SockDiag => "sock_diag",
        }
    }

    /// What it cannot tell of any connection, in a sentence.
    #[must_use]
    pub const fn blind_spot(self) -> Option<&'static str> {
        match self {
            Self::Tables => None,
            // struct inet_diag_msg and its attributes (include/uapi/linux/inet_diag.h) hold none of it.
            Self::SockDiag => Some(
                "read by sock_diag, which does not tell SO_KEEPALIVE, its settings and \
                 TCP_USER_TIMEOUT: what guards a connection, and the time to detect, stay unknown",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        connection::{AcceptQueue, Outstanding, Unknown},
        liveness::fixture::{established, seconds},
    };

    fn assessed(change: impl FnOnce(&mut Connection)) -> Assessed {
        Assessed::new(established().with(change), &Thresholds::default())
    }

    #[test]
    fn worst_first() {
        let ordered = [
            assessed(|it| it.orphaned = true),
            assessed(|_| ()).with_silence(Ok(seconds(9))),
            assessed(|_| ()).with_silence(Ok(seconds(8))),
            assessed(|it| it.memory = Ok(9)).with_silence(Err(Unknown::NotInSockDiag)),
            assessed(|it| it.memory = Ok(8)).with_silence(Err(Unknown::NotInSockDiag)),
            assessed(|it| it.memory = Err(Unknown::NotInSockDiag))
                .with_silence(Err(Unknown::NotInSockDiag)),
        ];
        for pair in ordered.windows(2) {
            assert_eq!(Assessed::worst_first(&pair[0], &pair[1]), Ordering::Less);
            assert_eq!(Assessed::worst_first(&pair[1], &pair[0]), Ordering::Greater);
        }
        assert_eq!(
            Assessed::worst_first(&ordered[0], &ordered[0]),
            Ordering::Equal
        );
    }

    #[test]
    fn who_waits_too_long_to_be_accepted_is_noteworthy() {
        let roomy = Ok(AcceptQueue::of_one(1, 4));
        let full = Ok(AcceptQueue::of_one(5, 4));
        let queued = |queue, age| {
            assessed(|it| {
                it.acceptance = Ok(Acceptance::Queued);
                it.accept_queue = queue;
                it.last_sent = age;
            })
        };
        let request = |acceptance| {
            assessed(|it| {
                it.state = State::SynRecv;
                it.acceptance = acceptance;
                it.accept_queue = full;
            })
        };
        let listener = |queue| {
            assessed(|it| {
                it.state = State::Listen;
                it.accept_queue = queue;
            })
        };
        let unknown = Unknown::NotInSockDiag;
        for (assessed, expected) in [
            (queued(roomy, Ok(seconds(4))), false),
            (queued(roomy, Ok(seconds(5))), true),
            (queued(full, Ok(seconds(0))), true),
            (queued(roomy, Err(unknown)), false),
            (request(Ok(Acceptance::AckDropped)), true),
            (request(Ok(Acceptance::AwaitsData)), false),
            (request(Ok(Acceptance::AwaitsAck)), false),
            (request(Err(unknown)), false),
            (listener(full), true),
            (listener(roomy), false),
            (listener(Err(unknown)), false),
        ] {
            assert_eq!(assessed.is_noteworthy(), expected, "{assessed:#?}");
        }
    }

    #[test]
    fn a_connect_is_noteworthy_once_its_syn_was_resent() {
        let connect = |state, outstanding| {
            assessed(|it| {
                it.state = state;
                it.acceptance = Err(Unknown::NotOfThisKind);
                it.outstanding = outstanding;
            })
        };
        let resent = |retransmits| {
            Ok(Outstanding {
                packets_out: 1,
                retransmits,
                ..Outstanding::default()
            })
        };
        for (assessed, expected) in [
            (connect(State::SynSent, resent(0)), false),
            (connect(State::SynSent, resent(1)), true),
            (
                connect(State::SynSent, Err(Unknown::NotOnThisKernel)),
                false,
            ),
            // A SYN-ACK that is sent again: the client's path is not ours.
            (connect(State::SynRecv, resent(1)), false),
        ] {
            assert_eq!(assessed.is_noteworthy(), expected, "{assessed:#?}");
        }
    }

    #[test]
    fn equals_are_told_apart_by_address() {
        let near = assessed(|_| ());
        let far = assessed(|it| it.remote.set_port(50_001));
        assert_eq!(Assessed::worst_first(&near, &far), Ordering::Less);
    }

    impl Assessed {
        /// With the same verdict after another silence.
        fn with_silence(mut self, silence: Known<std::time::Duration>) -> Self {
            self.connection.last_ack = silence;
            self.connection.last_received = silence;
            self
        }
    }
}
