//! What a filter chooses from, and which words mean nothing there.

/// What a filter chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Sockets as a walk reads them.
    Connection,
    /// Events as they are watched. Every word may stand: one that an event tells nothing of matches none.
    Event,
    /// Deaths that are to be ignored, as long as an agent runs. A word that never matches would be a mistake
    /// that nobody notices.
    IgnoredDeath,
}

impl Subject {
    /// Why this word may not begin a condition; `None` if it may.
    pub(super) fn refuses(self, word: &str) -> Option<String> {
        match self {
            Self::Event => None,
            Self::Connection => IN_EVENTS_ALONE.contains(&word).then(|| {
                format!("{word} is known of events alone: halfopen watch and the records of deaths have it")
            }),
            Self::IgnoredDeath if word == "cgroup" => Some(
                "the id of a cgroup changes when its service restarts: write owner, as in owner nginx.service"
                    .to_owned(),
            ),
            Self::IgnoredDeath => OF_THE_LIVING.contains(&word).then(|| {
                format!("{word} is not known of a death; {}", self.conditions())
            }),
        }
    }

    /// What may stand where a condition is expected.
    pub(super) const fn conditions(self) -> &'static str {
        match self {
            Self::Connection => {
                "here may stand state, exclude, src, dst, sport, dport, cgroup, owner, netns, uid, suspect, \
                 zombie, orphan, unguarded, embryonic, unaccepted, stalled, zero-window, idle, silent, detect, \
                 memory, bytes-sent, bytes-received, not or a parenthesis"
            }
            Self::Event => {
                "here may stand state, exclude, src, dst, sport, dport, cgroup, owner, netns, uid, suspect, \
                 zombie, orphan, unguarded, embryonic, unaccepted, stalled, zero-window, idle, silent, detect, memory, age, \
                 bytes-sent, bytes-received, cause, not or a parenthesis"
            }
            Self::IgnoredDeath => {
                "here may stand state, exclude, src, dst, sport, dport, owner, netns, uid, orphan, silent, age, \
                 bytes-sent, bytes-received, cause, not or a parenthesis"
            }
        }
    }
}

/// Words that a walk cannot answer.
const IN_EVENTS_ALONE: [&str; 2] = ["age", "cause"];

/// Words that the record of a death cannot answer.
const OF_THE_LIVING: [&str; 11] = [
    "suspect",
    "zombie",
    "unguarded",
    "embryonic",
    "unaccepted",
    "stalled",
    "zero-window",
    "zero_window",
    "idle",
    "detect",
    "memory",
];
