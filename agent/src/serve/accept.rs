//! Accepts connections up to a limit, and drains them on shutdown.
//!
//! # Invariants
//! Every wait for a client has a time limit, and no client's error ends the server.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    client::Peer,
    http_connection::{ConnectionContext, shutdown_requested},
    limits::ServerLimits,
    listen::WebListener,
    routes::Routes,
    web_config::Access,
};

/// Sent before closing when the limit of connections is reached; too short to block.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves on `listeners` until `stop` becomes true; then finishes the requests in flight.
///
/// # Errors
/// When a listener cannot be registered with the runtime.
pub async fn serve(
    listeners: Vec<WebListener>,
    routes: Routes,
    access: Access,
    limits: ServerLimits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let context = ConnectionContext {
        routes,
        access,
        limits,
        stop,
    };
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor::new(listener)?;
        acceptors.spawn(accept(acceptor, context.clone(), Arc::clone(&slots)));
    }
    // A panic ends only its own acceptor.
    while acceptors.join_next().await.is_some() {}
    Ok(())
}

async fn accept(acceptor: Acceptor, context: ConnectionContext, slots: Arc<Semaphore>) {
    let limits = context.limits;
    let mut stop = context.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown_requested(&mut stop) => break,
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
            accepted.refuse();
            continue;
        };
        let context = context.clone();
        connections.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, peer) => context.tcp(stream, Peer::Address(peer)).await,
                Accepted::Unix(stream) => context.unix(stream).await,
            }
            drop(slot);
        });
    }
    drop(acceptor);
    let drain = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_time, drain).await.is_err() {
        warn!("connections were closed: their requests did not finish in time");
    }
}

/// An error of one client does not affect the next call; a lack of descriptors or memory does, and
/// must not become a busy loop.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        return;
    }
    warn!(%error, "cannot accept a connection; retrying in 100 ms");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A listening socket, registered with the runtime.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Acceptor {
    fn new(listener: WebListener) -> io::Result<Self> {
        match listener {
            WebListener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            WebListener::Unix(listener) => {
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
    /// Best effort: an HTTP client sees the reason, a TLS client only a failed handshake.
    fn refuse(self) {
        match self {
            Self::Tcp(stream, _) => drop(stream.try_write(OVERLOADED)),
            Self::Unix(stream) => drop(stream.try_write(OVERLOADED)),
        }
    }
}
