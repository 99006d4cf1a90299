//! Lets a program's peer vanish: starts it, greets it, cuts it off, waits for the death. The cut comes after the
//! program has set keepalive on its connection, and before the first probe.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use halfopen_lab::{
    Error, Family, NetnsLifetime, Pair,
    observe::{
        snmp::Counters,
        sockets::{self, SocketRow},
    },
    wait::{self, Awaited, LIMIT},
};
use socket2::SockRef;

use crate::{error::ProgramError, jail::ProgramJail, program::Program};

/// A program that listens.
#[derive(Debug)]
pub(crate) struct Started {
    jail: ProgramJail,
    pair: Pair,
    program: Program,
}

/// A program whose client has vanished and whose connection is dead; all lives on until this is
/// dropped.
#[derive(Debug)]
pub(crate) struct DeadConnection {
    pub(crate) started: Started,
    client: TcpStream,
}

impl Drop for DeadConnection {
    /// Left to itself, a client with a silent server would go on for minutes, and an agent would
    /// count how it dies under the ports of the next run.
    fn drop(&mut self) {
        let _ = SockRef::from(&self.client).set_linger(Some(Duration::ZERO));
    }
}

impl DeadConnection {
    /// What its network namespace and that of its client counted.
    pub(crate) fn counters(&self) -> Result<[Counters; 2], Error> {
        let pair = &self.started.pair;
        Ok([pair.server.counters()?, pair.client.counters()?])
    }

    /// The inode number of its network namespace.
    pub(crate) fn netns(&self) -> Result<u64, Error> {
        self.started.pair.server.inum()
    }
}

/// Starts a program and waits until it listens.
pub(crate) fn start(program: &Program, root: &Path) -> Result<Started, ProgramError> {
    let pair = Pair::new(
        &format!("lab{}", program.port),
        Family::Ipv4,
        NetnsLifetime::Thread,
    )?;
    for (name, value) in program.sysctls {
        pair.server.sysctl(name, value)?;
    }
    if let Some(behind) = program.behind {
        let at = SocketAddr::from(([127, 0, 0, 1], behind.port));
        let listener = pair
            .server
            .run(move || listen(at))?
            .map_err(|e| Error::socket(format!("listen on {at}"), e))?;
        thread::spawn(move || serve(&listener));
    }
    let mut started = Started {
        jail: ProgramJail::start(program, root, &pair.server)?,
        pair,
        program: *program,
    };
    let awaited = format!("{} to listen", program.name);
    // A SYN before it listens would be answered with a reset.
    wait::until(&awaited, LIMIT, || {
        if let Err(ended) = started.jail.alive() {
            return Ok(Awaited::Done(Err(ended)));
        }
        Ok(match started.socket("listen", 0)? {
            Some(()) => Awaited::Done(Ok(())),
            None => Awaited::NotYet(format!("it says: {}", started.jail.last_lines())),
        })
    })??;
    Ok(started)
}

impl Started {
    /// Connects, vanishes, and waits until the kernel has given the connection up.
    pub(crate) fn die(self) -> Result<DeadConnection, ProgramError> {
        let client = self.connect()?;
        let name = self.program.name;
        // The timer's column shows keepalive only while nothing is in flight: all is acknowledged.
        let guarded = format!("{name} to set keepalive on its connection");
        wait::until(&guarded, LIMIT, || {
            let socket = self.socket("established", sockets::timer::KEEPALIVE)?;
            Ok(socket.map_or_else(
                || Awaited::NotYet(format!("it says: {}", self.jail.last_lines())),
                |()| Awaited::Done(()),
            ))
        })?;
        self.pair.drop_inbound_at_client()?;
        let early = self.pair.server.counters()?.get("TCPKeepAlive");
        if early > 0 {
            return Err(ProgramError::from(Error::Unsupported(format!(
                "{name} had sent {early} keepalive probes before its peer could vanish: this machine \
                 is too busy for {} s of idle time, try again when it is idle",
                self.program.keepalive.idle_s
            ))));
        }
        wait::until(&format!("{name}'s connection to die"), LIMIT, || {
            let counters = self.pair.server.counters()?;
            let [deaths, probes] = ["TCPAbortOnTimeout", "TCPKeepAlive"].map(|c| counters.get(c));
            Ok(if deaths > 0 {
                Awaited::Done(())
            } else {
                Awaited::NotYet(format!("{probes} keepalive probes were sent"))
            })
        })?;
        Ok(DeadConnection {
            started: self,
            client,
        })
    }

    fn connect(&self) -> Result<TcpStream, ProgramError> {
        let to = SocketAddr::new(Family::Ipv4.server(), self.program.port);
        let greet = self.program.greet;
        let greeted = self.pair.client.run(move || {
            let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            greet(&mut stream).map(|()| stream)
        })?;
        greeted.map_err(|source| ProgramError::Mute {
            program: self.program.name,
            source,
            said: self.jail.last_lines(),
        })
    }

    /// Whether a socket at the program's port is in this state, with this timer.
    fn socket(&self, state: &'static str, timer: u8) -> Result<Option<()>, Error> {
        let port = self.program.port;
        let sockets = self.pair.server.run(sockets::here)??;
        let is_it = |socket: &SocketRow| {
            (socket.local_port, socket.state, socket.timer) == (port, state, timer)
        };
        Ok(sockets.iter().any(is_it).then_some(()))
    }
}

/// No call on it waits for ever: SO_RCVTIMEO holds for accept too (socket(7)).
fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(at)?;
    SockRef::from(&listener).set_read_timeout(Some(LIMIT))?;
    Ok(listener)
}

/// Greets the first client, and reads until the connection ends in any way.
fn serve(listener: &TcpListener) {
    if let Ok((mut stream, _)) = listener.accept() {
        let _ = stream.write_all(b"ok\n");
        let _ = io::copy(&mut stream, &mut io::sink());
    }
}
