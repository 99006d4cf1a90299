//! What can be seen of a scenario's connection while it is played: by the kernel's own list of
//! sockets, and by the agent.
//! It must never decide whether the agent is right: it notes what the agent says, and waits for it.

use std::{sync::PoisonError, time::Duration};

use super::Stage;
use crate::{
    Error,
    judgement::{End, Judgement, Seen},
    sockets::{self, Socket},
    wait::{self, LIMIT, Look},
};

/// How long a judgement is waited for as long as the connection is there: thresholds are seconds,
/// and on a slow machine an answer may be as well.
const JUDGED_WITHIN: Duration = Duration::from_secs(90);

impl Stage {
    /// Waits until the agent judges this end so, or the connection is gone from there. Without an
    /// agent there is nothing to wait for; whether it ever did, the verdict tells.
    ///
    /// # Errors
    /// When the agent does not answer as it should.
    pub fn judged(&self, end: End, due: Judgement) -> Result<(), Error> {
        self.judged_while(end, due, 1, || Ok(()))
    }

    /// The same at so many looks, with something done before each.
    ///
    /// # Errors
    /// When that fails, or the agent does not answer as it should.
    pub fn judged_while(
        &self,
        end: End,
        due: Judgement,
        looks: u64,
        mut meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(witness) = &self.witness else {
            return Ok(());
        };
        let mut met = 0;
        let mut look = || {
            meanwhile()?;
            // In this order: what ends while the agent looks has not ended before.
            let there = self.socket(end)?.is_some();
            let seen = self.look(end)?;
            if seen.is_some_and(|seen| due.is_met_by(&seen, witness.thresholds())) {
                met += 1;
            }
            Ok(if met >= looks || !there {
                Look::Done(())
            } else {
                Look::Seen(String::new())
            })
        };
        match wait::until("the agent's judgement", JUDGED_WITHIN, &mut look) {
            Err(Error::Deadline { .. }) => Ok(()),
            other => other,
        }
    }

    /// Asks the agent how it judges this end now, and notes the answer. Without an agent, or when it
    /// does not see the connection, there is none.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn look(&self, end: End) -> Result<Option<Seen>, Error> {
        let Some(witness) = &self.witness else {
            return Ok(None);
        };
        let (host, local, remote) = match end {
            End::Client => (&self.pair.client, self.client, self.server),
            End::Server => (&self.pair.server, self.server, self.client),
        };
        let told = witness.connections(host.inum()?)?.unwrap_or_default();
        let mut told = told.into_iter();
        let found = told.find(|told| (told.local(), told.remote()) == (local, remote));
        let seen = found.map(|connection| Seen::of(end, connection));
        if let Some(seen) = seen.clone() {
            let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.add(&mut all);
        }
        Ok(seen)
    }

    /// All that the agent said so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
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
                None => Look::Done(()),
                Some(socket) => Look::Seen(format!("{socket:?}")),
            })
        })
    }

    fn socket_until(
        &self,
        end: End,
        what: &str,
        is: impl Fn(&Socket) -> bool,
    ) -> Result<(), Error> {
        let awaited = format!("{what} at the {}'s socket", end.as_str());
        wait::until(&awaited, LIMIT, || {
            Ok(match self.socket(end)? {
                Some(socket) if is(&socket) => Look::Done(()),
                other => Look::Seen(format!("{other:?}")),
            })
        })
    }

    /// One end's socket in the kernel's own list; the ports are the scenario's alone.
    fn socket(&self, end: End) -> Result<Option<Socket>, Error> {
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
