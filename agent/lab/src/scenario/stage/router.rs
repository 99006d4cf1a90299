//! A server that is also its client's router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::Socket;

use super::Stage;
use crate::{
    Error,
    net::open::{self, Accept, Timeouts},
};

impl Stage {
    /// Sends the client's SYN to the server's port of an address behind the server, as [`Self::send_syn`] does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send_syn_beyond(&self) -> Result<Socket, Error> {
        let from = self.client;
        let to = SocketAddr::new(self.family.beyond(), self.server.port());
        self.pair
            .client
            .run(move || open::send_syn(from, to, Timeouts::default()))?
            .map_err(self.failed("begin to connect to an address behind the server"))
    }

    /// Lets the server listen at every address.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen_at_any(&self) -> Result<Socket, Error> {
        let any: IpAddr = match self.server.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let at = SocketAddr::new(any, self.server.port());
        self.pair
            .server
            .run(move || open::listen(at, Accept::AtOnce))?
            .map_err(self.failed("listen at every address"))
    }
}
