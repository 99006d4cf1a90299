//! The agent under test as a witness: asked, while scenarios are played, how it judges connections.
//! It must never ask for more than one answer at a time: each makes the agent look at every socket.

use std::sync::{Mutex, PoisonError};

use crate::{
    Error,
    connections::{self, Connection},
    http::Origin,
    judgement::Thresholds,
};

/// An agent and what is known of its thresholds.
#[derive(Debug)]
pub struct Witness {
    origin: Origin,
    thresholds: Thresholds,
    turn: Mutex<()>,
}

impl Witness {
    /// The agent that answers at `origin`.
    #[must_use]
    pub fn new(origin: Origin, thresholds: Thresholds) -> Self {
        Self {
            origin,
            thresholds,
            turn: Mutex::default(),
        }
    }

    /// From when on it calls silence idle.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Every socket it sees now in the network namespace with this inode number; `None` while it is
    /// too busy to say.
    ///
    /// # Errors
    /// When it does not answer, or not as it should.
    pub fn connections(&self, netns: u64) -> Result<Option<Vec<Connection>>, Error> {
        let path = format!("/api/v1/connections?all=true&netns={netns}");
        // Nothing of ours can be left half done by a panic under this lock.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match self.origin.get(&path)? {
            (503, _) => return Ok(None),
            (200, text) => text,
            (status, body) => return Err(self.origin.refused(&path, status, &body)),
        };
        drop(turn);
        let connections = connections::parse(&text)?;
        match connections.iter().find(|one| one.netns != netns) {
            None => Ok(Some(connections)),
            Some(stray) => Err(Error::Format {
                what: "the agent's list of connections".to_owned(),
                why: format!("asked for namespace {netns}, it tells of {}", stray.netns),
            }),
        }
    }
}
