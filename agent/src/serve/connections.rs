//! Connections: accepted, bounded in number and patience, and ended in good order.
//! It must never wait for a client without a limit, nor end because of one.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    access::Access,
    conversation::{Host, told},
    listen::Listener,
    routes::Routes,
    visitor::Peer,
};

/// What an over-full server says before it closes; too short to block on.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How much of a client is endured.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections, all addresses together.
    pub connections: usize,
    /// Time until a handshake of TLS is complete.
    pub handshake_time: Duration,
    /// Time until a request's headers are complete, and idle time between requests.
    pub header_time: Duration,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Time that sent bytes may stay unacknowledged, by a peer that vanished or does not read.
    pub unread_time: Duration,
    /// Time that requests get to finish when the agent ends.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake_time: Duration::from_secs(5),
            header_time: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            headers: 64,
            unread_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(5),
        }
    }
}

/// Answers on `listeners` until `stop` becomes true; then finishes what is in flight.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
pub async fn serve(
    listeners: Vec<Listener>,
    routes: Routes,
    access: Access,
    limits: Limits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let host = Host {
        routes,
        access,
        limits,
        stop,
    };
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor::new(listener)?;
        acceptors.spawn(accept(acceptor, host.clone(), Arc::clone(&slots)));
    }
    // An acceptor that panics takes only itself down; the others go on.
    while acceptors.join_next().await.is_some() {}
    Ok(())
}

async fn accept(acceptor: Acceptor, host: Host, slots: Arc<Semaphore>) {
    let limits = host.limits;
    let mut stop = host.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = told(&mut stop) => break,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            debug!(
                limit = limits.connections,
                "connection refused: too many are open"
            );
            accepted.send_away();
            continue;
        };
        let host = host.clone();
        connections.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, peer) => host.tcp(stream, Peer::Address(peer)).await,
                Accepted::Unix(stream) => host.unix(stream).await,
            }
            drop(slot);
        });
    }
    drop(acceptor);
    let drain = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_time, drain).await.is_err() {
        warn!("connections were cut: their requests did not finish in time");
    }
}

/// The failures of `accept` that are the client's are over by the next call; a lack of descriptors
/// or memory is not, and must not become a busy loop.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        return;
    }
    warn!(%error, "cannot accept a connection; trying again in a moment");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A socket that is listened on, and with it how its connections are held.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Acceptor {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Self::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Accepted {
    /// Best effort: the client learns more from this than from a bare close. One that speaks TLS would
    /// not understand it.
    fn send_away(self) {
        match self {
            Self::Tcp(stream, _) => drop(stream.try_write(FULL)),
            Self::Unix(stream) => drop(stream.try_write(FULL)),
        }
    }
}
