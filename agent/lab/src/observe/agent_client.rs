//! The agent under test as an observer: asked, while scenarios are played, for its verdicts on connections.
//! It is asked one question at a time: each makes the agent look at every socket.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Error,
    observe::{
        connections::{self, ListedConnection},
        exposition::Metrics,
        http::Origin,
    },
};

/// From when on the agent under test calls silence idle, and a CLOSE_WAIT or FIN_WAIT2 stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentThresholds {
    /// Those of [`THRESHOLDS`](crate::observe::agent_process::THRESHOLDS): the lab started it.
    Ours,
    /// Unknown: it was started elsewhere, perhaps with hours. An idle connection may then be reported
    /// as healthy, and a stale one as half-closed.
    Theirs,
}

impl AgentThresholds {
    /// The verdict that may stand for another one, whose threshold may not be reached.
    pub(crate) fn before(self, liveness: &str) -> Option<&'static str> {
        match (self, liveness) {
            (Self::Theirs, "idle_guarded" | "idle_unguarded") => Some("healthy"),
            (Self::Theirs, "stale_close_wait" | "stale_fin_wait2") => Some("half_closed"),
            _ => None,
        }
    }
}

/// An agent and what is known of its thresholds.
#[derive(Debug)]
pub struct AgentClient {
    origin: Origin,
    thresholds: AgentThresholds,
    one_at_a_time: Mutex<()>,
}

impl AgentClient {
    /// The agent that answers at `origin`.
    #[must_use]
    pub fn new(origin: Origin, thresholds: AgentThresholds) -> Self {
        Self {
            origin,
            thresholds,
            one_at_a_time: Mutex::default(),
        }
    }

    /// From when on it calls silence idle.
    #[must_use]
    pub const fn thresholds(&self) -> AgentThresholds {
        self.thresholds
    }

    /// What it counts, and what its latest walk found.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn metrics(&self) -> Result<Metrics, Error> {
        Metrics::parse(&self.origin.text("/metrics")?)
    }

    /// Every socket it sees now in the network namespace with this inode number; `None` while it is
    /// too busy to say.
    ///
    /// # Errors
    /// When it does not answer, or not as it should.
    pub fn connections(&self, netns: u64) -> Result<Option<Vec<ListedConnection>>, Error> {
        self.turn().connections(netns)
    }

    /// Waits until nobody asks, and lets nobody else ask as long as it lives.
    pub(crate) fn turn(&self) -> AgentTurn<'_> {
        // Nothing of ours can be left half done by a panic under this lock.
        let one_at_a_time = &self.one_at_a_time;
        AgentTurn {
            origin: &self.origin,
            _alone: one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// One's turn to ask the agent.
#[derive(Debug)]
pub(crate) struct AgentTurn<'a> {
    origin: &'a Origin,
    _alone: MutexGuard<'a, ()>,
}

impl AgentTurn<'_> {
    /// As [`AgentClient::connections`].
    pub(crate) fn connections(&self, netns: u64) -> Result<Option<Vec<ListedConnection>>, Error> {
        let path = format!("/api/v1/connections?all=true&netns={netns}");
        let text = match self.origin.get(&path)? {
            (503, _) => return Ok(None),
            (200, text) => text,
            (status, body) => return Err(self.origin.refused(&path, status, &body)),
        };
        let connections = connections::parse(&text)?;
        match connections.iter().find(|one| one.netns != netns) {
            None => Ok(Some(connections)),
            Some(stray) => Err(Error::Format {
                what: "the agent's list of connections".to_owned(),
                why: format!("asked for namespace {netns}, it lists {}", stray.netns),
            }),
        }
    }
}
