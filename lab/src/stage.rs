//! Where one scenario is played: a pair of hosts, real connections between them, and waiting.
//! It must never know what is expected; that stands in the scenario's table.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::{
    Counters, Error, Family, Host, Pair, destroy,
    host::Held,
    wait::{self, LIMIT, Look},
};

/// How the client keeps watch, in seconds and probes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    /// TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; keepalive is off without.
    pub keepalive: Option<(u64, u64, u32)>,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
}

/// Keepalive with these settings.
#[must_use]
pub const fn keepalive(idle: u64, interval: u64, count: u32) -> Watch {
    Watch {
        keepalive: Some((idle, interval, count)),
        user_timeout: None,
    }
}

impl Watch {
    /// The same with TCP_USER_TIMEOUT, in seconds.
    #[must_use]
    pub const fn user_timeout(mut self, seconds: u64) -> Self {
        self.user_timeout = Some(Duration::from_secs(seconds));
        self
    }

    /// Settings alone: keepalive itself stays off until [`Connection::guard`].
    fn prepare(self, socket: &Socket) -> io::Result<()> {
        if let Some((idle, interval, count)) = self.keepalive {
            let settings = TcpKeepalive::new()
                .with_time(Duration::from_secs(idle))
                .with_interval(Duration::from_secs(interval))
                .with_retries(count);
            socket.set_tcp_keepalive(&settings)?;
        }
        socket.set_keepalive(false)
    }
}

/// Where the client sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// In a namespace held by a thread, alone.
    Plain,
    /// In a namespace held by a bind mount, while another connection with the same four-tuple lives
    /// in another pair of namespaces.
    Second,
}

/// The two ends of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The client's socket.
    pub client: Socket,
    /// The server's socket.
    pub server: Socket,
}

/// A pair of hosts for one scenario.
#[derive(Debug)]
pub struct Stage {
    /// The hosts.
    pub pair: Pair,
    twin: Option<Pair>,
    client: SocketAddr,
    server: SocketAddr,
    /// What stays open until the counts are judged: closing it would add to them.
    kept: Mutex<Vec<Socket>>,
}

impl Stage {
    /// Builds the hosts.
    ///
    /// # Errors
    /// Without the right or the means to.
    pub fn new(port: u16, family: Family, setting: Setting) -> Result<Self, Error> {
        let name = format!("lab{port}");
        let held = if setting == Setting::Plain {
            Held::ByThread
        } else {
            Held::ByMount
        };
        let stage = Self {
            pair: Pair::new(&name, family, held)?,
            twin: match setting {
                Setting::Plain => None,
                Setting::Second => Some(Pair::new(&format!("{name}t"), family, Held::ByThread)?),
            },
            client: SocketAddr::new(family.client(), port + 20_000),
            server: SocketAddr::new(family.server(), port),
            kept: Mutex::default(),
        };
        if let Some(twin) = &stage.twin {
            let idle = stage.connect_in(twin, Watch::default())?;
            stage.keep([idle.client, idle.server]);
        }
        Ok(stage)
    }

    /// The addresses in use.
    #[must_use]
    pub const fn family(&self) -> Family {
        if self.server.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        }
    }

    /// Every host, the watched client first and its server second.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [Some(&self.pair), self.twin.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|pair| [&pair.client, &pair.server])
    }

    /// Connects the client with the server. Keepalive is prepared, but off.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn connect(&self, watch: Watch) -> Result<Connection, Error> {
        self.connect_in(&self.pair, watch)
    }

    fn connect_in(&self, pair: &Pair, watch: Watch) -> Result<Connection, Error> {
        let (from, to) = (self.client, self.server);
        let failed = move |what: &'static str| {
            move |source| Error::socket(format!("{what} ({from} to {to})"), source)
        };
        let listener = pair
            .server
            .run(move || listen(to))?
            .map_err(failed("listen"))?;
        let client = pair
            .client
            .run(move || connect(from, to, watch))?
            .map_err(failed("connect"))?;
        let (server, _) = listener.accept().map_err(failed("accept"))?;
        self.keep([listener]);
        Ok(Connection { client, server })
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
            .run(move || connect(from, to, Watch::default()))?;
        let other = match outcome {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => error,
            Ok(_) => io::Error::other("somebody listens"),
        };
        Err(Error::socket(
            format!("be refused at a port without a listener ({from} to {to})"),
            other,
        ))
    }

    /// Leaves sockets open until the counts are judged.
    pub fn keep(&self, sockets: impl IntoIterator<Item = Socket>) {
        // Nothing can panic while this is locked.
        if let Ok(mut kept) = self.kept.lock() {
            kept.extend(sockets);
        }
    }

    /// Kills the connection from the client's side, as an administrator would.
    ///
    /// # Errors
    /// When the kernel cannot, or refuses.
    pub fn kill(&self) -> Result<(), Error> {
        let (local, remote) = (self.client, self.server);
        self.pair
            .client
            .run(move || destroy::destroy(local, remote))?
    }

    /// Waits until the client's counter has reached a number.
    ///
    /// # Errors
    /// When it never does.
    pub fn client_counts(&self, counter: &str, least: u64) -> Result<Counters, Error> {
        reach(&self.pair.client, "client", counter, least, || Ok(()))
    }

    /// Waits until the server's counter has reached a number.
    ///
    /// # Errors
    /// When it never does.
    pub fn server_counts(&self, counter: &str, least: u64) -> Result<Counters, Error> {
        reach(&self.pair.server, "server", counter, least, || Ok(()))
    }

    /// Writes until the server's window is closed and this many window probes went out.
    ///
    /// # Errors
    /// When they never do.
    pub fn fill(&self, connection: &Connection, probes: u64) -> Result<(), Error> {
        let chunk = vec![0; 64 * 1024];
        connection
            .client
            .set_nonblocking(true)
            .map_err(|e| Error::socket("set O_NONBLOCK", e))?;
        reach(&self.pair.client, "client", "TCPWinProbe", probes, || {
            loop {
                match (&connection.client).write(&chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(Error::socket("write to the client's socket", error)),
                }
            }
        })?;
        Ok(())
    }

    /// Waits until the client's socket is in a line of /proc/net/tcp whose timer is this one.
    ///
    /// # Errors
    /// When it never is.
    pub fn client_timer(&self, timer: &'static str) -> Result<(), Error> {
        let port = format!(":{:04X}", self.client.port());
        wait::until(
            &format!("timer {timer} of the client's socket"),
            LIMIT,
            || {
                let read = || std::fs::read_to_string("/proc/thread-self/net/tcp");
                let table = self
                    .pair
                    .client
                    .run(read)?
                    .map_err(|e| Error::socket("read /proc/net/tcp", e))?;
                let line = table.lines().find(|line| {
                    line.split_whitespace()
                        .nth(1)
                        .is_some_and(|local| local.ends_with(&port))
                });
                let seen = line
                    .and_then(|line| line.split_whitespace().nth(5))
                    .unwrap_or("no socket");
                let kind = seen.split(':').next();
                Ok(if kind == Some(timer) {
                    Look::Done(())
                } else {
                    Look::Seen(seen.to_owned())
                })
            },
        )
    }
}

impl Connection {
    /// Switches keepalive on: its first probe is due one idle time from now. Switched on after the
    /// peer is gone, the number of probes does not depend on how long that took.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn guard(&self) -> Result<(), Error> {
        self.client
            .set_keepalive(true)
            .map_err(|source| Error::socket("switch SO_KEEPALIVE on", source))
    }

    /// Switches keepalive off again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn unguard(&self) -> Result<(), Error> {
        self.client
            .set_keepalive(false)
            .map_err(|source| Error::socket("switch SO_KEEPALIVE off", source))
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
            Look::Done(counters)
        } else {
            Look::Seen(format!("it is {count}"))
        })
    })
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    patient(&socket)?;
    Ok(socket)
}

fn connect(from: SocketAddr, to: SocketAddr, watch: Watch) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    watch.prepare(&socket)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    // Before the handshake it would guard the SYN as well.
    socket.set_tcp_user_timeout(watch.user_timeout)?;
    patient(&socket)?;
    Ok(socket)
}

/// No call on a socket of the lab waits for ever.
fn patient(socket: &Socket) -> io::Result<()> {
    SockRef::from(socket).set_read_timeout(Some(LIMIT))
}
