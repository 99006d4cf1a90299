//! Where one scenario is played: a pair of hosts, real connections between them, and waiting.

mod connection;
mod counters;
mod observe;
mod ports;
mod prediction;
mod router;

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::Socket;

pub use connection::SocketPair;

use crate::{
    Error,
    classify::observed::ObservedLiveness,
    net::{
        destroy,
        end::End,
        family::Family,
        host::{Host, NetnsLifetime},
        open::{self, Accept, Timeouts},
        pair::Pair,
        path::TroubledPath,
        thread_cgroup::ThreadCgroup,
    },
    observe::agent_client::AgentClient,
};

/// Where the client sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPlace {
    /// In a namespace lifetime by a thread, alone.
    Plain,
    /// In a namespace lifetime by a bind mount, while another connection with the same four-tuple lives
    /// in another pair of namespaces.
    Second,
    /// As in [`Self::Plain`], and its path to the server may give [`Trouble`](crate::net::path::Trouble).
    Far,
}

/// A pair of hosts for one scenario.
#[derive(Debug)]
pub struct Stage {
    /// The hosts.
    pub pair: Pair,
    twin: Option<Pair>,
    path: Option<TroubledPath>,
    /// For how long connections are played that live on.
    lasts: Duration,
    client: SocketAddr,
    server: SocketAddr,
    family: Family,
    agent_client: Option<Arc<AgentClient>>,
    /// What the agent reported, in the order of first sight.
    observed: Mutex<Vec<ObservedLiveness>>,
    /// What the kernel or the agent did otherwise than the scenario says, where no figure of the table tells it.
    faults: Mutex<Vec<String>>,
    /// What stays open until the counts are compared: closing it would add to them.
    kept: Mutex<Vec<Socket>>,
    /// What stays until its name has been looked up.
    cgroup: Mutex<Option<ThreadCgroup>>,
}

impl Stage {
    /// Builds the hosts.
    ///
    /// # Errors
    /// Without the right or the means to.
    pub fn new(port: u16, family: Family, place: ClientPlace) -> Result<Self, Error> {
        let name = format!("lab{port}");
        let (mut pair, path) = match place {
            ClientPlace::Plain => (Pair::new(&name, family, NetnsLifetime::Thread)?, None),
            ClientPlace::Second => (Pair::new(&name, family, NetnsLifetime::Mount)?, None),
            ClientPlace::Far => {
                let (pair, path) = TroubledPath::new(&name, family)?;
                (pair, Some(path))
            }
        };
        pair.capture()?;
        let stage = Self {
            pair,
            twin: match place {
                ClientPlace::Plain | ClientPlace::Far => None,
                ClientPlace::Second => Some(Pair::new(
                    &format!("{name}t"),
                    family,
                    NetnsLifetime::Thread,
                )?),
            },
            path,
            lasts: Duration::ZERO,
            client: SocketAddr::new(family.client(), port + 20_000),
            server: SocketAddr::new(family.server(), port),
            family,
            agent_client: None,
            observed: Mutex::default(),
            faults: Mutex::default(),
            kept: Mutex::default(),
            cgroup: Mutex::default(),
        };
        if let Some(twin) = &stage.twin {
            let idle = stage.connect_in(twin, Timeouts::default())?;
            stage.keep([idle.client, idle.server]);
        }
        Ok(stage)
    }

    /// The same, observed by an agent.
    #[must_use]
    pub fn observed_by(mut self, agent_client: Option<Arc<AgentClient>>) -> Self {
        self.agent_client = agent_client;
        self
    }

    /// The same, for connections that are played for so long.
    #[must_use]
    pub const fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    /// For how long connections are played that live on.
    #[must_use]
    pub const fn lasts(&self) -> Duration {
        self.lasts
    }

    /// The path between the hosts, where it may give trouble.
    ///
    /// # Errors
    /// Where it is a cable.
    pub fn path(&self) -> Result<&TroubledPath, Error> {
        let gone = || Error::HostGone("of a path that may give trouble".to_owned());
        self.path.as_ref().ok_or_else(gone)
    }

    /// The addresses in use.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Every host, the watched client first and its server second.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [Some(&self.pair), self.twin.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|pair| [&pair.client, &pair.server])
    }

    /// The host of one end.
    pub(super) const fn host(&self, end: End) -> &Host {
        match end {
            End::Client => &self.pair.client,
            End::Server => &self.pair.server,
        }
    }

    /// Notes that something is wrong which no figure of the table tells.
    pub fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(what);
    }

    /// Everything that was noted.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Connects the client with the server. Keepalive is prepared, but off.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn connect(&self, timeouts: Timeouts) -> Result<SocketPair, Error> {
        self.connect_in(&self.pair, timeouts)
    }

    /// Connects by MPTCP (RFC 8684), with one subflow. Keepalive is off.
    ///
    /// # Errors
    /// When the system refuses, or has no MPTCP.
    pub fn connect_multipath(&self) -> Result<SocketPair, Error> {
        let (from, to) = (self.client, self.server);
        let refused = |source: io::Error| match source.raw_os_error() {
            Some(open::NO_SUCH_PROTOCOL | open::NOT_SWITCHED_ON) => {
                Error::Unsupported("the kernel has no MPTCP, or it is switched off".to_owned())
            }
            _ => self.failed("connect by MPTCP")(source),
        };
        let listener = self
            .pair
            .server
            .run(move || open::listen_multipath(to))?
            .map_err(refused)?;
        let client = self
            .pair
            .client
            .run(move || open::connect_multipath(from, to))?
            .map_err(refused)?;
        let (server, _) = listener.accept().map_err(self.failed("accept"))?;
        self.keep([listener]);
        Ok(SocketPair { client, server })
    }

    fn connect_in(&self, pair: &Pair, timeouts: Timeouts) -> Result<SocketPair, Error> {
        let listener = self.listen_in(pair, Accept::AtOnce)?;
        let (from, to) = (self.client, self.server);
        let client = pair
            .client
            .run(move || open::connect(from, to, timeouts))?
            .map_err(self.failed("connect"))?;
        let (server, _) = listener.accept().map_err(self.failed("accept"))?;
        self.keep([listener]);
        Ok(SocketPair { client, server })
    }

    /// Lets the server listen.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(&self, accept: Accept) -> Result<Socket, Error> {
        self.listen_in(&self.pair, accept)
    }

    fn listen_in(&self, pair: &Pair, accept: Accept) -> Result<Socket, Error> {
        let at = self.server;
        pair.server
            .run(move || open::listen(at, accept))?
            .map_err(self.failed("listen"))
    }

    /// Connects others than the scenario's client, from ports of their own, until the server's accept queue is
    /// full.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fill_accept_queue(&self) -> Result<(), Error> {
        let (from, to) = (SocketAddr::new(self.client.ip(), 0), self.server);
        for _ in 0..=open::BACKLOG {
            let other = self
                .pair
                .client
                .run(move || open::connect(from, to, Timeouts::default()))?;
            self.keep([other.map_err(self.failed("fill the accept queue"))?]);
        }
        Ok(())
    }

    /// Lets the scenario's client connect, whose last ACK is lost, has others fill the accept queue, and lets
    /// its ACK through: it finds no room.
    ///
    /// # Errors
    /// When the system refuses, or the kernel counts no overflow.
    pub fn overflow(&self) -> Result<(), Error> {
        self.keep([self.listen(Accept::AtOnce)?]);
        self.pair.only_syn_from(self.client.port())?;
        self.keep([self.send_syn(Timeouts::default())?]);
        self.reaches(End::Client, "established")?;
        self.fill_accept_queue()?;
        self.pair.restore_server()?;
        self.server_counts("ListenOverflows", 1).map(drop)
    }

    /// Sends the client's SYN and does not wait for an answer. Keepalive is on, and
    /// TCP_USER_TIMEOUT guards the SYN.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send_syn(&self, timeouts: Timeouts) -> Result<Socket, Error> {
        let (from, to) = (self.client, self.server);
        self.pair
            .client
            .run(move || open::send_syn(from, to, timeouts))?
            .map_err(self.failed("begin to connect"))
    }

    /// Sends a byte with the client's SYN (RFC 7413), and leaves it at that.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn send_syn_with_data(&self) -> Result<Socket, Error> {
        let (from, to) = (self.client, self.server);
        self.pair
            .client
            .run(move || open::send_syn_with_data(from, to))?
            .map_err(self.failed("begin to connect with data in the SYN"))
    }

    /// The connection of a client that was not waited for.
    ///
    /// # Errors
    /// When the server's end does not come up by itself, the client having said something.
    pub fn accepted(&self, listener: &Socket, client: Socket) -> Result<SocketPair, Error> {
        (&client)
            .write_all(b"x")
            .map_err(self.failed("write to the client's socket"))?;
        let (server, _) = listener.accept().map_err(self.failed("accept"))?;
        Ok(SocketPair { client, server })
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> Error + use<> {
        let (from, to) = (self.client, self.server);
        move |source| Error::socket(format!("{what} ({from} to {to})"), source)
    }

    /// Connects to the server's port while nobody listens there, and is refused.
    ///
    /// # Errors
    /// When that ends in any other way.
    pub fn refused(&self) -> Result<(), Error> {
        let (from, to) = (self.client, self.server);
        let outcome = self
            .pair
            .client
            .run(move || open::connect(from, to, Timeouts::default()))?;
        let other = match outcome {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => error,
            Ok(_) => io::Error::other("somebody listens"),
        };
        Err(self.failed("be refused at a port without a listener")(
            other,
        ))
    }

    /// Leaves sockets open until the counts are compared.
    pub fn keep(&self, sockets: impl IntoIterator<Item = Socket>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(sockets);
    }

    /// Leaves a cgroup there until the counts are compared: an agent looks for its name when a connection has died.
    pub fn keep_cgroup(&self, cgroup: ThreadCgroup) {
        *self.cgroup.lock().unwrap_or_else(PoisonError::into_inner) = Some(cgroup);
    }

    /// Kills one end of the connection, as an administrator would.
    ///
    /// # Errors
    /// When the kernel cannot, or refuses.
    pub fn kill(&self, end: End) -> Result<(), Error> {
        let (host, local, remote) = match end {
            End::Client => (&self.pair.client, self.client, self.server),
            End::Server => (&self.pair.server, self.server, self.client),
        };
        host.run(move || destroy::destroy(local, remote))?
    }

    /// Kills the server's end without the client learning of it, whose keepalive probe the server's host then
    /// resets.
    ///
    /// # Errors
    /// When the kernel cannot, or it does not happen.
    pub fn forgotten_by_server(&self, connection: SocketPair) -> Result<(), Error> {
        self.pair.drop_inbound_at_client()?;
        self.kill(End::Server)?;
        self.server_counts("EstabResets", 1)?;
        self.pair.restore_client()?;
        connection.enable_keepalive()?;
        self.keep([connection.client, connection.server]);
        self.client_counts("EstabResets", 1).map(drop)
    }
}

impl Drop for Stage {
    /// Left to themselves, connections with a silent peer would live on for minutes, and their
    /// namespaces with them; an agent would count how they die under the ports of the next lab.
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        for socket in kept.drain(..) {
            // A listener, and what has ended, need none.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        // What an interrupted scenario has closed meanwhile, which nobody holds any more.
        for end in [End::Client, End::Server] {
            // Where there is none, or no way to, there is nothing more to be done.
            let _ = self.kill(end);
        }
    }
}
