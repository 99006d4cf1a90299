//! Local ports that the kernel chooses, until none is left.

use std::io;

use socket2::Socket;

use super::{SocketPair, Stage};
use crate::{
    Error,
    net::open,
    observe::sockets,
    wait::{self, Awaited, LIMIT},
};

impl Stage {
    /// Connects the client from a port that the kernel chooses.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn connect_from_any_port(&self, listener: &Socket) -> Result<SocketPair, Error> {
        let client = self
            .connect_by_choice()?
            .map_err(self.failed("connect from any port"))?;
        let (server, _) = listener.accept().map_err(self.failed("accept"))?;
        Ok(SocketPair { client, server })
    }

    /// Connects the same way and fails, since no port is left: EADDRNOTAVAIL.
    ///
    /// # Errors
    /// When that ends in any other way.
    pub fn finds_no_port(&self) -> Result<(), Error> {
        let other = match self.connect_by_choice()? {
            Err(error) if error.raw_os_error() == Some(open::NO_PORT) => return Ok(()),
            Err(error) => error,
            Ok(_) => io::Error::other("there is a port"),
        };
        Err(self.failed("find no local port")(other))
    }

    fn connect_by_choice(&self) -> Result<io::Result<Socket>, Error> {
        let to = self.server;
        self.pair
            .client
            .run(move || open::connect_from_any_port(to))
    }

    /// Waits until the kernel has this many sockets with this server's port at the client, each of which takes a
    /// port, and the agent, if there is one, shows their share of all ports.
    ///
    /// # Errors
    /// When one of them never does.
    pub fn await_ports_in_use(&self, ports: usize, of: usize) -> Result<(), Error> {
        const METRIC: &str = "halfopen_ephemeral_ports_used_ratio";
        let port = self.server.port();
        let share = ports as f64 / of as f64;
        let labels = port.to_string();
        let labels = [("direction", "outbound"), ("port", labels.as_str())];
        wait::until(&format!("{ports} of {of} ports in use"), LIMIT, || {
            let sockets = self.pair.client.run(sockets::here)??;
            let there = sockets.iter().filter(|socket| socket.remote_port == port);
            let there = there.count();
            let shown = match &self.agent_client {
                None => Some(share),
                Some(agent) => agent.metrics()?.greatest(METRIC, &labels),
            };
            Ok(if there == ports && shown == Some(share) {
                Awaited::Done(())
            } else {
                Awaited::NotYet(format!("{there} sockets, {METRIC} is {shown:?}"))
            })
        })
    }
}
