//! One connection: the TLS handshake, where there is one, then HTTP/1.1 or HTTP/2.
//!
//! # Invariants
//! An idle or unresponsive client loses its connection after a fixed time.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::{interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    client::{ClientIdentity, Peer},
    limits::{HTTP2_STREAMS, ServerLimits},
    response::{self, HttpResponse},
    routes::Routes,
    web_config::{Access, AuthOutcome, Tls},
    write_timeout::with_write_timeout,
};

/// Time to deliver what was sent on a stream when the agent ends.
const STREAM_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads of leftover request bytes before a refused plain HTTP connection is closed.
const LEFTOVER_READS: usize = 16;

/// The answer to plain HTTP on a TLS port, in the words of Go's servers.
const PLAIN_HTTP_REFUSED: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What every connection needs; cheap to clone.
#[derive(Clone)]
pub struct ConnectionContext {
    pub routes: Routes,
    pub access: Access,
    pub limits: ServerLimits,
    /// Becomes true on shutdown.
    pub stop: watch::Receiver<bool>,
}

/// Returns on shutdown, or when the sender of `stop` is gone.
pub async fn shutdown_requested(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

impl ConnectionContext {
    /// Serves a connection of a unix socket: the mode of its file decides who may connect, so neither TLS
    /// nor a password is required.
    pub async fn unix(self, stream: UnixStream) {
        let stream = with_write_timeout(stream, self.limits.unread_time);
        let client = ClientIdentity {
            peer: Peer::UnixSocket,
            authenticated: false,
        };
        self.http1(stream, client).await;
    }

    /// Serves a TCP connection.
    pub async fn tcp(self, stream: TcpStream, peer: Peer) {
        if let Err(error) = set_time_limits(&stream, self.limits.unread_time) {
            debug!(%error, "cannot set the time limits of a connection");
        }
        let mut client = ClientIdentity {
            peer,
            authenticated: false,
        };
        let config = self.access.current().await;
        let Some(tls) = &config.tls else {
            return self.http1(stream, client).await;
        };
        let Some(stream) = self.handshake(stream, tls).await else {
            return;
        };
        let (_, session) = stream.get_ref();
        client.authenticated = tls.verifies_clients && session.peer_certificates().is_some();
        if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream, client).await;
        } else {
            self.http1(stream, client).await;
        }
    }

    async fn handshake(&self, stream: TcpStream, tls: &Tls) -> Option<TlsStream<TcpStream>> {
        let mut stop = self.stop.clone();
        let handshake = async {
            // A TLS record never starts with a letter; a request always does.
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
                refuse_plain(stream).await?;
                return Err(io::Error::other("HTTP without TLS"));
            }
            TlsAcceptor::from(Arc::clone(&tls.config))
                .accept(stream)
                .await
        };
        let result = tokio::select! {
            result = timeout(self.limits.handshake_time, handshake) => result,
            () = shutdown_requested(&mut stop) => return None,
        };
        match result {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => {
                debug!("TLS handshake timed out");
                None
            }
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin, client: ClientIdentity) {
        let limits = self.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(limits.header_bytes)
            .max_headers(limits.headers);
        let stop = self.stop.clone();
        let served = Arc::new(HttpConnection::new(self, client));
        let service = service_fn(|request| Arc::clone(&served).answer(request));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        // The header timeout also limits the idle time between requests.
        served
            .run(connection, |it| it.graceful_shutdown(), stop, None)
            .await;
    }

    async fn http2(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        client: ClientIdentity,
    ) {
        let limits = self.limits;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(limits.unread_time / 3)
            .keep_alive_timeout(limits.unread_time);
        let stop = self.stop.clone();
        let served = Arc::new(HttpConnection::new(self, client));
        let service = {
            let served = Arc::clone(&served);
            service_fn(move |request| Arc::clone(&served).answer(request))
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let idle_timeout = Some(limits.header_time);
        served
            .run(connection, |it| it.graceful_shutdown(), stop, idle_timeout)
            .await;
    }
}

/// Answers, then reads on until the client closes: closing with unread bytes resets the connection,
/// and the client may lose the answer.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_HTTP_REFUSED).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    for _ in 0..LEFTOVER_READS {
        if stream.read(&mut unread).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// A peer that is gone must not hold a connection: TCP_USER_TIMEOUT and keepalive close it.
fn set_time_limits(stream: &TcpStream, unread_time: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(unread_time))?;
    let probes = TcpKeepalive::new()
        .with_time(unread_time)
        .with_interval(unread_time / 3);
    socket.set_tcp_keepalive(&probes)
}

/// The state of one connection.
struct HttpConnection {
    context: ConnectionContext,
    client: ClientIdentity,
    /// Whether a response was a stream, which has no end of its own.
    streams: AtomicBool,
    /// Requests received.
    received: AtomicU64,
    /// Requests without a response yet.
    open: AtomicUsize,
}

impl HttpConnection {
    fn new(context: ConnectionContext, client: ClientIdentity) -> Self {
        Self {
            context,
            client,
            streams: AtomicBool::new(false),
            received: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, Infallible> {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let _open = OpenRequest(&self.open);
        Ok(self.authenticate(request).await)
    }

    async fn authenticate(&self, request: Request<Incoming>) -> HttpResponse {
        let mut client = self.client;
        if client.peer == Peer::UnixSocket {
            return self.route(request, client).await;
        }
        let access = &self.context.access;
        let config = access.current().await;
        let mut response = match access.authenticate(&config, request.headers()).await {
            AuthOutcome::Accepted => {
                client.authenticated |= config.users.is_some();
                self.route(request, client).await
            }
            AuthOutcome::Rejected => response::unauthorized(),
            AuthOutcome::Busy => response::error(response::unavailable(
                "too many passwords are being checked; try again in a second",
            )),
        };
        response.headers_mut().extend(config.headers.clone());
        response
    }

    async fn route(&self, request: Request<Incoming>, client: ClientIdentity) -> HttpResponse {
        let response = self.context.routes.answer(request, client).await;
        self.streams
            .fetch_or(response::is_stream(&response), Ordering::Relaxed);
        response
    }

    /// Runs until the client closes, the agent shuts down, or no request came within `idle_timeout`.
    /// `finish` completes the open requests and accepts no new ones.
    async fn run<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        finish: fn(Pin<&mut C>),
        mut stop: watch::Receiver<bool>,
        idle_timeout: Option<Duration>,
    ) {
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown_requested(&mut stop) => {
                finish(connection.as_mut());
                if self.streams.load(Ordering::Relaxed) {
                    // A stream does not end by itself.
                    let drained = timeout(STREAM_DRAIN_TIMEOUT, connection);
                    drained.await.unwrap_or(Ok(()))
                } else {
                    connection.await
                }
            }
            () = self.idle(idle_timeout) => {
                finish(connection.as_mut());
                // A slow client may still be reading a response.
                let rest = timeout(self.context.limits.unread_time, connection);
                tokio::select! {
                    result = rest => result.unwrap_or(Ok(())),
                    () = shutdown_requested(&mut stop) => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            debug!(%error, "a connection failed");
        }
    }

    /// Returns when no request came within `idle_timeout`, and no request or stream is open.
    async fn idle(&self, idle_timeout: Option<Duration>) {
        let Some(idle_timeout) = idle_timeout else {
            return std::future::pending().await;
        };
        let mut ticks = interval(idle_timeout);
        ticks.tick().await;
        let mut before = 0;
        loop {
            ticks.tick().await;
            let received = self.received.load(Ordering::Relaxed);
            let is_busy = self.open.load(Ordering::Relaxed) > 0 || received != before;
            if !is_busy && !self.streams.load(Ordering::Relaxed) {
                return;
            }
            before = received;
        }
    }
}

/// Counts a request as open until it is dropped, answered or cancelled.
struct OpenRequest<'a>(&'a AtomicUsize);

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
