//! The generator of one case: opens its connections at an even pace and does to each what is due. The ledger
//! has what was done, and nothing else.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;

use crate::{
    Error, interrupt,
    net::{
        destroy,
        end::End,
        open::{self, Timeouts},
    },
    stress::{
        actions::{self, DyingPair},
        case::{Action, DyingEnd},
        fixture::Fixture,
        sockets,
    },
};

/// Of clients, which have one each: below the range from which the kernel chooses.
const FIRST_CLIENT_PORT: u16 = 10_000;

const TICK: Duration = Duration::from_millis(50);
const REAP_EVERY: Duration = Duration::from_secs(2);

/// Connections opened together, at most: where the machine is behind its time, more would drop packets.
const BATCH: u32 = 16;

impl Fixture {
    /// Makes its connections die, spread over a time; where the machine cannot keep up it takes longer.
    pub(super) fn play(&self, start: Instant, lasts: Duration) -> Result<(), Error> {
        let (mut done, mut reaped) = (0, start);
        while done < self.planned {
            interrupt::check()?;
            if reaped.elapsed() > REAP_EVERY {
                self.reap();
                reaped = Instant::now();
            }
            let due = due(start.elapsed(), lasts, self.planned);
            if due <= done {
                thread::sleep(TICK);
                continue;
            }
            let until = due.min(done + BATCH);
            self.batch(done..until)?;
            done = until;
        }
        Ok(())
    }

    fn batch(&self, indices: Range<u32>) -> Result<(), Error> {
        let ports: BTreeMap<u16, End> = indices
            .map(|index| {
                let offset = u16::try_from(index).unwrap_or(u16::MAX);
                (
                    FIRST_CLIENT_PORT.saturating_add(offset),
                    dying(self.case.ends, index),
                )
            })
            .collect();
        let kept = match self.case.act {
            Action::SynTimeout | Action::AbandonConnect | Action::Unreachable => {
                self.send_syn(&ports)?
            }
            Action::SynAckTimeout => {
                // Nothing follows the SYN.
                drop(self.send_syn(&ports)?);
                Vec::new()
            }
            Action::Refused => {
                self.refused(&ports)?;
                Vec::new()
            }
            _ => self.established(&ports)?,
        };
        let mut ledger = self.ledger();
        for (port, dying) in ports {
            ledger.record(port, dying);
        }
        drop(ledger);
        self.keep(kept);
        Ok(())
    }

    /// Runs a job for each port in the client's namespace.
    fn each<T: Send + 'static>(
        &self,
        ports: &BTreeMap<u16, End>,
        job: impl Fn(SocketAddr, SocketAddr) -> T + Send + 'static,
    ) -> Result<Vec<T>, Error> {
        let to = self.server();
        let from: Vec<SocketAddr> = ports.keys().map(|port| self.client(*port)).collect();
        self.pair
            .client
            .run(move || from.into_iter().map(|from| job(from, to)).collect())
    }

    fn send_syn(&self, ports: &BTreeMap<u16, End>) -> Result<Vec<Socket>, Error> {
        let send_syn = |from, to| open::send_syn(from, to, Timeouts::default());
        let sockets: io::Result<_> = self.each(ports, send_syn)?.into_iter().collect();
        sockets.map_err(self.failed("begin to connect"))
    }

    fn refused(&self, ports: &BTreeMap<u16, End>) -> Result<(), Error> {
        for outcome in self.each(ports, |from, to| sockets::connect(from, to, false))? {
            let other = match outcome {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => error,
                Ok(_) => io::Error::other("somebody listens"),
            };
            return Err(self.failed("be refused at a port without a listener")(
                other,
            ));
        }
        Ok(())
    }

    /// Opens a connection for each port and does to it what the case says; what must stay open.
    fn established(&self, ports: &BTreeMap<u16, End>) -> Result<Vec<Socket>, Error> {
        let connections = self.connect(ports)?;
        let connections = connections.into_iter();
        match self.case.act {
            Action::Orphan => connections.map(actions::orphan).collect(),
            Action::Linger => connections.map(actions::linger).collect(),
            Action::CloseUnread => connections.map(actions::close_unread).collect(),
            Action::SendAfterClose => connections.map(actions::send_after_close).collect(),
            Action::OrderlyClose => {
                connections
                    .into_iter()
                    .try_for_each(actions::close_orderly)?;
                Ok(Vec::new())
            }
            act => {
                let open: Vec<DyingPair> = connections.collect();
                match act {
                    Action::Keepalive(timeouts) => {
                        open.iter()
                            .try_for_each(|both| actions::enable_keepalive(both, timeouts))?;
                    }
                    Action::SendUnacked(timeouts) => {
                        open.iter()
                            .try_for_each(|both| actions::send_unacked(both, timeouts))?;
                    }
                    Action::SendKeptBack => {
                        open.iter().try_for_each(|both| {
                            actions::send_unacked(both, Timeouts::default())
                        })?;
                    }
                    Action::ZeroWindow => actions::close_window(&open)?,
                    Action::SendAfterShutdown => {
                        open.iter().try_for_each(actions::send_after_shutdown)?;
                    }
                    _ => self.kill(ports)?,
                }
                let both = |connection: DyingPair| [connection.dying, connection.other];
                Ok(open.into_iter().flat_map(both).collect())
            }
        }
    }

    /// In the order of the ports.
    fn connect(&self, ports: &BTreeMap<u16, End>) -> Result<Vec<DyingPair>, Error> {
        let is_small = self.is_small();
        let clients = self.each(ports, move |from, to| sockets::connect(from, to, is_small))?;
        let clients: io::Result<Vec<Socket>> = clients.into_iter().collect();
        let clients = clients.map_err(self.failed("connect"))?;
        let mut servers = BTreeMap::new();
        for _ in &clients {
            let Some(listener) = &self.listener else {
                break;
            };
            let (server, from) = listener.accept().map_err(self.failed("accept"))?;
            servers.insert(from.as_socket().map(|from| from.port()), server);
        }
        let pairs = ports.iter().zip(clients).map(|((port, dying), client)| {
            let server = servers.remove(&Some(*port));
            let lost = || io::Error::other(format!("the client's port {port} was not accepted"));
            let server = server.ok_or_else(|| self.failed("accept")(lost()))?;
            Ok(match dying {
                End::Client => DyingPair {
                    dying: client,
                    other: server,
                },
                End::Server => DyingPair {
                    dying: server,
                    other: client,
                },
            })
        });
        pairs.collect()
    }

    /// Destroys each connection at its dying end: the kernel has done it when it answers.
    fn kill(&self, ports: &BTreeMap<u16, End>) -> Result<(), Error> {
        for (port, dying) in ports {
            let (client, server) = (self.client(*port), self.server());
            let (local, remote) = match dying {
                End::Client => (client, server),
                End::Server => (server, client),
            };
            self.host(*dying)
                .run(move || destroy::destroy(local, remote))??;
        }
        Ok(())
    }
}

/// How many are due after a time.
fn due(elapsed: Duration, lasts: Duration, planned: u32) -> u32 {
    if elapsed >= lasts {
        return planned;
    }
    let share = u128::from(planned) * elapsed.as_millis() / lasts.as_millis().max(1);
    u32::try_from(share).unwrap_or(planned)
}

const fn dying(ends: DyingEnd, index: u32) -> End {
    match ends {
        DyingEnd::Connecting => End::Client,
        DyingEnd::Accepting => End::Server,
        DyingEnd::Either if index.is_multiple_of(2) => End::Client,
        DyingEnd::Either => End::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let lasts = Duration::from_secs(120);
        for (seconds, expected) in [
            (0, 0),
            (1, 10),
            (60, 600),
            (119, 1190),
            (120, 1200),
            (500, 1200),
        ] {
            assert_eq!(due(Duration::from_secs(seconds), lasts, 1200), expected);
        }
        assert_eq!(due(Duration::ZERO, Duration::ZERO, 7), 7);
    }
}
