//! A connection of which both ends are ours, and what can be done with it.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
};

use socket2::Socket;

use crate::{
    Error,
    net::{end::End, tcp_info},
    wait::{self, Awaited, LIMIT},
};

/// The two ends of a connection.
#[derive(Debug)]
pub struct SocketPair {
    /// The client's socket.
    pub client: Socket,
    /// The server's socket.
    pub server: Socket,
}

impl SocketPair {
    /// Switches keepalive on: its first probe is due one idle time from now. Switched on after the
    /// peer is gone, the number of probes does not depend on how long that took.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn enable_keepalive(&self) -> Result<(), Error> {
        self.client
            .set_keepalive(true)
            .map_err(|source| Error::socket("switch SO_KEEPALIVE on", source))
    }

    /// Waits until this holds for the number of the client's segments that are sent and not acknowledged.
    ///
    /// # Errors
    /// When it never does.
    pub(in crate::scenario) fn await_in_flight(
        &self,
        awaited: &str,
        is: impl Fn(u32) -> bool,
    ) -> Result<(), Error> {
        wait::until(awaited, LIMIT, || {
            let info = tcp_info::read(&self.client)
                .map_err(|source| Error::socket("read TCP_INFO", source))?;
            let segments = info.in_flight();
            Ok(if is(segments) {
                Awaited::Done(())
            } else {
                Awaited::NotYet(format!("{segments} in flight"))
            })
        })
    }

    /// Switches keepalive off again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn disable_keepalive(&self) -> Result<(), Error> {
        self.client
            .set_keepalive(false)
            .map_err(|source| Error::socket("switch SO_KEEPALIVE off", source))
    }

    /// Sends a byte from the client.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send_byte(&self) -> Result<(), Error> {
        self.send_byte_from(End::Client)
    }

    /// Sends a byte from this end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send_byte_from(&self, end: End) -> Result<(), Error> {
        let mut socket = match end {
            End::Client => &self.client,
            End::Server => &self.server,
        };
        socket
            .write_all(b"x")
            .map_err(|source| Error::socket("write to a socket", source))
    }

    /// Ends one half of the connection.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end_half(&self, end: End) -> Result<(), Error> {
        let socket = match end {
            End::Client => &self.client,
            End::Server => &self.server,
        };
        socket
            .shutdown(Shutdown::Write)
            .map_err(|source| Error::socket("end one half of a connection", source))
    }

    /// Writes as much as there is room for; the client's socket must not block.
    pub(super) fn fill_window(&self) -> Result<(), Error> {
        let chunk = vec![0; 64 * 1024];
        loop {
            match (&self.client).write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Error::socket("write to the client's socket", error)),
            }
        }
    }

    /// Ends the connection in good order: the client first, then the server.
    ///
    /// # Errors
    /// When the server does not see the end.
    pub fn close(self) -> Result<(), Error> {
        let failed = |source| Error::socket("close a connection in good order", source);
        self.client.shutdown(Shutdown::Write).map_err(failed)?;
        io::copy(&mut &self.server, &mut io::sink()).map_err(failed)?;
        drop(self.server);
        self.client.set_nonblocking(false).map_err(failed)?;
        (&self.client)
            .read_to_end(&mut Vec::new())
            .map_err(failed)?;
        Ok(())
    }
}
