//! Waits for what the kernel counts.

use super::{SocketPair, Stage};
use crate::{
    Error,
    net::{end::End, host::Host},
    observe::snmp::Counters,
    wait::{self, Awaited, LIMIT},
};

impl Stage {
    /// Waits until the client's counter has reached a number.
    ///
    /// # Errors
    /// When it never does.
    pub fn client_counts(&self, counter: &str, least: u64) -> Result<Counters, Error> {
        reach(&self.pair.client, "client", counter, least, || Ok(()))
    }

    /// The same while an agent looks at the client again and again.
    ///
    /// # Errors
    /// When it never does.
    pub fn client_counts_while_observed(
        &self,
        counter: &str,
        least: u64,
    ) -> Result<Counters, Error> {
        reach(&self.pair.client, "client", counter, least, || {
            self.look(End::Client).map(drop)
        })
    }

    /// Waits until a counter of one end's host has reached a number, with something done at each look.
    ///
    /// # Errors
    /// When it never does, or that fails.
    pub fn counts_while(
        &self,
        end: End,
        counter: &str,
        least: u64,
        meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<Counters, Error> {
        reach(self.host(end), end.as_str(), counter, least, meanwhile)
    }

    /// Waits until the server's counter has reached a number.
    ///
    /// # Errors
    /// When it never does.
    pub fn server_counts(&self, counter: &str, least: u64) -> Result<Counters, Error> {
        reach(&self.pair.server, "server", counter, least, || Ok(()))
    }

    /// Writes until the server's window is closed and this many window probes went out, while an agent
    /// looks at the client again and again. It looks from the window's closing on: where time stands
    /// still for seconds, a client with no data left to send is idle, as any other.
    ///
    /// # Errors
    /// When they never do.
    pub fn close_window(&self, connection: &SocketPair, probes: u64) -> Result<(), Error> {
        connection
            .client
            .set_nonblocking(true)
            .map_err(|e| Error::socket("set O_NONBLOCK", e))?;
        reach(&self.pair.client, "client", "TCPWinProbe", probes, || {
            connection.fill_window()?;
            if self.is_persisting(End::Client)? {
                self.look(End::Client)?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn reach(
    host: &Host,
    side: &str,
    counter: &str,
    least: u64,
    mut meanwhile: impl FnMut() -> Result<(), Error>,
) -> Result<Counters, Error> {
    wait::until(&format!("{counter} = {least} at the {side}"), LIMIT, || {
        meanwhile()?;
        let counters = host.counters()?;
        let count = counters.get(counter);
        Ok(if count >= least {
            Awaited::Done(counters)
        } else {
            Awaited::NotYet(format!("it is {count}"))
        })
    })
}
