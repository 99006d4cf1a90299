//! Connections: accepted, bounded in number and patience, and ended in good order.
//! It must never wait for a client without a limit, nor end because of one.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use super::routes::{self, Routes};

/// What an over-full server says before it closes; too short to block on.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Time in which a client of a stream must take what was on its way when the agent ends.
const STREAM_ENDS_WITHIN: Duration = Duration::from_millis(500);

/// How much of a client is endured.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections, all addresses together.
    pub connections: usize,
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
    listeners: Vec<StdListener>,
    routes: Routes,
    limits: Limits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let slots = Arc::clone(&slots);
        acceptors.spawn(accept(
            listener,
            routes.clone(),
            limits,
            slots,
            stop.clone(),
        ));
    }
    // An acceptor that panics takes only itself down; the others go on.
    while acceptors.join_next().await.is_some() {}
    Ok(())
}

async fn accept(
    listener: TcpListener,
    routes: Routes,
    limits: Limits,
    slots: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = told(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
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
            // Best effort: the client learns more from this than from a bare close.
            drop(stream.try_write(FULL));
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, peer, routes, limits, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    let drain = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_time, drain).await.is_err() {
        warn!("connections were cut: their requests did not finish in time");
    }
}

/// Returns when it is time to end, or nobody is left to say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
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

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = guard(&stream, limits.unread_time) {
        debug!(%error, "cannot set a connection's time limits");
    }
    let streams = AtomicBool::new(false);
    let service = service_fn(|request| {
        let (routes, streams) = (&routes, &streams);
        async move {
            let answer = routes.answer(request, peer).await;
            streams.fetch_or(routes::is_stream(&answer), Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            if streams.load(Ordering::Relaxed) {
                // It has no end of its own that would be worth waiting for.
                let patience = timeout(STREAM_ENDS_WITHIN, connection);
                patience.await.unwrap_or(Ok(()))
            } else {
                connection.await
            }
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended in disorder");
    }
}

/// A scraper that vanishes must not hold a slot: the very thing that this program watches for.
fn guard(stream: &TcpStream, unread_time: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(unread_time))?;
    let probes = TcpKeepalive::new()
        .with_time(unread_time)
        .with_interval(unread_time / 3);
    socket.set_tcp_keepalive(&probes)
}
