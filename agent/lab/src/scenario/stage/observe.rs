//! Observes a scenario's connection while it is played: in the kernel's own list of sockets, and through
//! the agent.

use std::{sync::PoisonError, time::Duration};

use super::Stage;
use crate::{
    Error,
    classify::{liveness::ExpectedLiveness, observed::ObservedLiveness},
    net::end::End,
    observe::{
        agent_client::{AgentThresholds, AgentTurn},
        connections::ListedConnection,
        sockets::{self, SocketRow},
    },
    wait::{self, Awaited, LIMIT},
};

/// How long a verdict is waited for while the connection exists: thresholds are seconds, and on a slow
/// machine an answer takes seconds as well.
const REPORTED_WITHIN: Duration = Duration::from_secs(90);

impl Stage {
    /// Whether an agent looks that the lab has not started.
    pub fn is_observed_by_a_stranger(&self) -> bool {
        let client = self.agent_client.as_ref();
        client.is_some_and(|it| it.thresholds() == AgentThresholds::Theirs)
    }

    /// Waits until the agent gives this end the expected verdict, or the connection is gone from there.
    /// Without an agent there is nothing to wait for. Whether it ever did, the assessment shows.
    ///
    /// # Errors
    /// When the agent does not answer as it should.
    pub fn await_liveness(&self, end: End, expected: ExpectedLiveness) -> Result<(), Error> {
        self.await_liveness_while(end, expected, 1, || Ok(()))
    }

    /// The same at so many looks, with something done before each.
    ///
    /// # Errors
    /// When that fails, or the agent does not answer as it should.
    pub fn await_liveness_while(
        &self,
        end: End,
        expected: ExpectedLiveness,
        looks: u64,
        mut meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(agent_client) = &self.agent_client else {
            return Ok(());
        };
        let mut met = 0;
        let mut look = || {
            meanwhile()?;
            // In this order: what ends while the agent looks has not ended before.
            let there = self.socket(end)?.is_some();
            let seen = self.look(end)?;
            if seen.is_some_and(|seen| expected.is_met_by(&seen, agent_client.thresholds())) {
                met += 1;
            }
            Ok(if met >= looks || !there {
                Awaited::Done(())
            } else {
                Awaited::NotYet(String::new())
            })
        };
        match wait::until("the agent's verdict", REPORTED_WITHIN, &mut look) {
            Err(Error::Deadline { .. }) => Ok(()),
            other => other,
        }
    }

    /// Asks the agent for its verdict on this end now, and notes the answer. Without an agent, or when it
    /// does not list the connection, there is none.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn look(&self, end: End) -> Result<Option<ObservedLiveness>, Error> {
        let seen = self.listed(end)?;
        let seen = seen.map(|connection| ObservedLiveness::of(end, connection));
        self.note(seen.clone());
        Ok(seen)
    }

    /// The same of every connection with the server's port.
    ///
    /// # Errors
    /// As above.
    pub fn look_at_all(&self, end: End) -> Result<(), Error> {
        let Some(agent_client) = &self.agent_client else {
            return Ok(());
        };
        let port = self.server.port();
        let is_mine = |one: &ListedConnection| match end {
            End::Client => one.remote().port() == port,
            End::Server => one.local().port() == port && one.state != "listen",
        };
        let listed = agent_client.connections(self.host(end).inum()?)?;
        let mine = listed.unwrap_or_default().into_iter().filter(is_mine);
        self.note(mine.map(|connection| ObservedLiveness::of(end, connection)));
        Ok(())
    }

    pub(super) fn note(&self, seen: impl IntoIterator<Item = ObservedLiveness>) {
        let mut all = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in seen {
            seen.add(&mut all);
        }
    }

    /// The connection's one end as the agent lists it now.
    pub(super) fn listed(&self, end: End) -> Result<Option<ListedConnection>, Error> {
        self.agent_client
            .as_ref()
            .map_or(Ok(None), |agent| self.listed_by(&agent.turn(), end))
    }

    /// The same where it is one's turn to ask.
    pub(super) fn listed_by(
        &self,
        agent: &AgentTurn<'_>,
        end: End,
    ) -> Result<Option<ListedConnection>, Error> {
        let (host, local, remote) = match end {
            End::Client => (&self.pair.client, self.client, self.server),
            End::Server => (&self.pair.server, self.server, self.client),
        };
        let listed = agent.connections(host.inum()?)?.unwrap_or_default();
        let mut listed = listed.into_iter();
        Ok(listed.find(|one| (one.local(), one.remote()) == (local, remote)))
    }

    /// All that the agent reported so far.
    #[must_use]
    pub fn observed(&self) -> Vec<ObservedLiveness> {
        self.observed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until one end's socket is in this state.
    ///
    /// # Errors
    /// When it never is.
    pub fn reaches(&self, end: End, state: &'static str) -> Result<(), Error> {
        self.socket_until(end, state, |socket| socket.state == state)
    }

    /// Waits until this timer runs at one end; one of [`sockets::timer`].
    ///
    /// # Errors
    /// When it never does.
    pub fn timer(&self, end: End, timer: u8) -> Result<(), Error> {
        self.socket_until(end, &format!("timer {timer}"), |socket| {
            socket.timer == timer
        })
    }

    /// Whether one end probes a window that its peer has closed.
    pub(super) fn is_persisting(&self, end: End) -> Result<bool, Error> {
        let socket = self.socket(end)?;
        Ok(socket.is_some_and(|socket| socket.timer == sockets::timer::PERSIST))
    }

    /// Waits until the connection is gone from one end.
    ///
    /// # Errors
    /// When it never is.
    pub fn gone(&self, end: End) -> Result<(), Error> {
        let awaited = format!("the end of the {}'s socket", end.as_str());
        wait::until(&awaited, LIMIT, || {
            Ok(match self.socket(end)? {
                None => Awaited::Done(()),
                Some(socket) => Awaited::NotYet(format!("{socket:?}")),
            })
        })
    }

    fn socket_until(
        &self,
        end: End,
        what: &str,
        is: impl Fn(&SocketRow) -> bool,
    ) -> Result<(), Error> {
        let awaited = format!("{what} at the {}'s socket", end.as_str());
        wait::until(&awaited, LIMIT, || {
            Ok(match self.socket(end)? {
                Some(socket) if is(&socket) => Awaited::Done(()),
                other => Awaited::NotYet(format!("{other:?}")),
            })
        })
    }

    /// One end's socket in the kernel's own list; the ports are the scenario's alone.
    fn socket(&self, end: End) -> Result<Option<SocketRow>, Error> {
        let (host, local, remote) = match end {
            End::Client => (&self.pair.client, self.client, self.server),
            End::Server => (&self.pair.server, self.server, self.client),
        };
        let ports = (local.port(), remote.port());
        let sockets = host.run(sockets::here)??;
        Ok(sockets
            .into_iter()
            .find(|socket| (socket.local_port, socket.remote_port) == ports))
    }
}
