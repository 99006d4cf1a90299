//! One connection: the handshake, if there is one, then requests and answers, in HTTP/1.1 or HTTP/2.
//! It must never hold its place for a client that shows no sign of life.

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
    access::{Access, LogIn, Tls},
    connections::Limits,
    patience::Patient,
    routes::{self, Answer, Routes},
    visitor::{Peer, Visitor},
};

/// Time in which a client of a stream must take what was on its way when the agent ends.
const STREAM_ENDS_WITHIN: Duration = Duration::from_millis(500);

/// Requests at one time on one connection of HTTP/2; each takes what a connection takes.
const AT_ONCE: u32 = 16;

/// What a client gets that speaks plain HTTP where TLS is spoken; in the words of Go's servers.
const NOT_PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What every conversation needs; cheap to clone.
#[derive(Clone)]
pub struct Host {
    pub routes: Routes,
    pub access: Access,
    pub limits: Limits,
    /// Becomes true when it is time to end.
    pub stop: watch::Receiver<bool>,
}

/// Returns when it is time to end, or nobody is left to say so.
pub async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

impl Host {
    /// A connection of a unix socket: its file's mode has said who may connect, so that neither a
    /// handshake nor a password is asked for.
    pub async fn unix(self, stream: UnixStream) {
        let stream = Patient::new(stream, self.limits.unread_time);
        let visitor = Visitor {
            peer: Peer::Socket,
            authenticated: false,
        };
        self.http1(stream, visitor).await;
    }

    /// A connection from an address.
    pub async fn tcp(self, stream: TcpStream, peer: Peer) {
        if let Err(error) = guard(&stream, self.limits.unread_time) {
            debug!(%error, "cannot set a connection's time limits");
        }
        let mut visitor = Visitor {
            peer,
            authenticated: false,
        };
        let rules = self.access.rules().await;
        let Some(tls) = &rules.tls else {
            return self.http1(stream, visitor).await;
        };
        let Some(stream) = self.handshake(stream, tls).await else {
            return;
        };
        let (_, session) = stream.get_ref();
        visitor.authenticated = tls.verifies_clients && session.peer_certificates().is_some();
        if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream, visitor).await;
        } else {
            self.http1(stream, visitor).await;
        }
    }

    async fn handshake(&self, stream: TcpStream, tls: &Tls) -> Option<TlsStream<TcpStream>> {
        let mut stop = self.stop.clone();
        let handshake = async {
            // A record of TLS never begins with a letter, as requests do.
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
            () = told(&mut stop) => return None,
        };
        match result {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                debug!(%error, "a handshake failed");
                None
            }
            Err(_) => {
                debug!("a handshake took too long");
                None
            }
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin, visitor: Visitor) {
        let limits = self.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(limits.header_bytes)
            .max_headers(limits.headers);
        let stop = self.stop.clone();
        let talk = Arc::new(Talk::new(self, visitor));
        let service = service_fn(|request| Arc::clone(&talk).answer(request));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        // Patience between requests is the header's.
        talk.until_its_end(connection, |it| it.graceful_shutdown(), stop, None)
            .await;
    }

    async fn http2(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        visitor: Visitor,
    ) {
        let limits = self.limits;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(AT_ONCE)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(limits.unread_time / 3)
            .keep_alive_timeout(limits.unread_time);
        let stop = self.stop.clone();
        let talk = Arc::new(Talk::new(self, visitor));
        let service = {
            let talk = Arc::clone(&talk);
            service_fn(move |request| Arc::clone(&talk).answer(request))
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let patience = Some(limits.header_time);
        talk.until_its_end(connection, |it| it.graceful_shutdown(), stop, patience)
            .await;
    }
}

/// Says what is wrong, then waits a moment for the client to read it: closed at once with bytes
/// unread, the connection would be reset, and the answer lost.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(NOT_PLAIN).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    for _ in 0..16 {
        if stream.read(&mut unread).await? == 0 {
            break;
        }
    }
    Ok(())
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

/// What is said on one connection.
struct Talk {
    host: Host,
    visitor: Visitor,
    /// Whether an answer was a stream, which has no end of its own.
    streams: AtomicBool,
    /// Requests that have come.
    begun: AtomicU64,
    /// Requests that have no answer yet.
    open: AtomicUsize,
}

impl Talk {
    fn new(host: Host, visitor: Visitor) -> Self {
        Self {
            host,
            visitor,
            streams: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let _answered = Answered(&self.open);
        Ok(self.admit(request).await)
    }

    async fn admit(&self, request: Request<Incoming>) -> Answer {
        let mut visitor = self.visitor;
        if visitor.peer == Peer::Socket {
            return self.route(request, visitor).await;
        }
        let rules = self.host.access.rules().await;
        let mut answer = match self.host.access.log_in(&rules, request.headers()).await {
            LogIn::Right => {
                visitor.authenticated |= rules.users.is_some();
                self.route(request, visitor).await
            }
            LogIn::Wrong => routes::unauthorized(),
            LogIn::Busy => routes::too_many_log_ins(),
        };
        answer.headers_mut().extend(rules.headers.clone());
        answer
    }

    async fn route(&self, request: Request<Incoming>, visitor: Visitor) -> Answer {
        let answer = self.host.routes.answer(request, visitor).await;
        self.streams
            .fetch_or(routes::is_stream(&answer), Ordering::Relaxed);
        answer
    }

    /// Goes on until the client ends it, it is time to end, or for `patience` nothing was asked.
    /// `end` finishes what was begun, and begins nothing new.
    async fn until_its_end<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        end: fn(Pin<&mut C>),
        mut stop: watch::Receiver<bool>,
        patience: Option<Duration>,
    ) {
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = told(&mut stop) => {
                end(connection.as_mut());
                if self.streams.load(Ordering::Relaxed) {
                    // It has no end of its own that would be worth waiting for.
                    let patience = timeout(STREAM_ENDS_WITHIN, connection);
                    patience.await.unwrap_or(Ok(()))
                } else {
                    connection.await
                }
            }
            () = self.silent(patience) => {
                end(connection.as_mut());
                // An answer may still be on its way to a client that reads it slowly.
                let rest = timeout(self.host.limits.unread_time, connection);
                tokio::select! {
                    result = rest => result.unwrap_or(Ok(())),
                    () = told(&mut stop) => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            debug!(%error, "a connection ended in disorder");
        }
    }

    /// Returns when nothing was asked for as long as `patience`, and no stream is open.
    async fn silent(&self, patience: Option<Duration>) {
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        let mut ticks = interval(patience);
        ticks.tick().await;
        let mut before = 0;
        loop {
            ticks.tick().await;
            let begun = self.begun.load(Ordering::Relaxed);
            let is_busy = self.open.load(Ordering::Relaxed) > 0 || begun != before;
            if !is_busy && !self.streams.load(Ordering::Relaxed) {
                return;
            }
            before = begun;
        }
    }
}

/// However a request ends, it is no longer open.
struct Answered<'a>(&'a AtomicUsize);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
