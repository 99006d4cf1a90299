//! How the lab's sockets are opened, and with which settings.

use std::{io, net::SocketAddr, os::fd::AsRawFd, time::Duration};

use nix::{errno::Errno, libc};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::wait::LIMIT;

/// How the client keeps watch, in seconds and probes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; keepalive is off without.
    pub keepalive: Option<(u64, u64, u32)>,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// TCP_SYNCNT.
    pub syn_count: Option<libc::c_int>,
}

/// Keepalive with these settings.
#[must_use]
pub const fn keepalive(idle: u64, interval: u64, count: u32) -> Timeouts {
    Timeouts {
        keepalive: Some((idle, interval, count)),
        user_timeout: None,
        syn_count: None,
    }
}

impl Timeouts {
    /// The same with TCP_USER_TIMEOUT, in seconds.
    #[must_use]
    pub const fn user_timeout(mut self, seconds: u64) -> Self {
        self.user_timeout = Some(Duration::from_secs(seconds));
        self
    }

    /// The same with TCP_SYNCNT: SYNs are sent again so often at most.
    #[must_use]
    pub const fn syn_count(mut self, times: i32) -> Self {
        self.syn_count = Some(times);
        self
    }

    /// Settings alone: keepalive itself stays off.
    pub(crate) fn prepare(self, socket: &Socket) -> io::Result<()> {
        if let Some((idle, interval, count)) = self.keepalive {
            let settings = TcpKeepalive::new()
                .with_time(Duration::from_secs(idle))
                .with_interval(Duration::from_secs(interval))
                .with_retries(count);
            socket.set_tcp_keepalive(&settings)?;
        }
        if let Some(times) = self.syn_count {
            set_option(socket, libc::TCP_SYNCNT, times)?;
        }
        socket.set_keepalive(false)
    }
}

/// When a server accepts a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// With the handshake's last ACK.
    AtOnce,
    /// With the client's first data, or after a minute: TCP_DEFER_ACCEPT.
    WithData,
    /// The same, after 7 s: three timeouts of the SYN-ACK.
    WithDataSoon,
}

/// TCP_DEFER_ACCEPT (tcp(7)), in seconds.
const DEFERRED: libc::c_int = 60;
const DEFERRED_BRIEFLY: libc::c_int = 7;

/// Below 0 an orphan is reset instead of waiting in FIN_WAIT2 (tcp(7)).
const NO_FIN_WAIT2: libc::c_int = -1;

/// Sets an option of TCP that no crate knows.
pub(super) fn set_option<T>(socket: &Socket, option: libc::c_int, value: T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: the descriptor is open as long as the socket, and the option's value, of that length,
    // outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

/// Lets the kernel reset the connection once it is closed and its FIN acknowledged: TCP_LINGER2.
pub(crate) fn no_fin_wait2(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::TCP_LINGER2, NO_FIN_WAIT2)
}

pub(crate) fn listen(address: SocketAddr, accept: Accept) -> io::Result<Socket> {
    let socket = stream(address)?;
    socket.bind(&address.into())?;
    let defer = |seconds| set_option(&socket, libc::TCP_DEFER_ACCEPT, seconds);
    match accept {
        Accept::AtOnce => {}
        Accept::WithData => defer(DEFERRED)?,
        Accept::WithDataSoon => defer(DEFERRED_BRIEFLY)?,
    }
    socket.listen(BACKLOG)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// Of listen(): the accept queue takes one more.
pub(crate) const BACKLOG: i32 = 1;

pub(crate) fn connect(from: SocketAddr, to: SocketAddr, watch: Timeouts) -> io::Result<Socket> {
    let socket = stream(to)?;
    watch.prepare(&socket)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    // Before the handshake it would guard the SYN as well.
    socket.set_tcp_user_timeout(watch.user_timeout)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// From whatever port the kernel chooses.
pub(crate) fn connect_from_any_port(to: SocketAddr) -> io::Result<Socket> {
    let socket = stream(to)?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// EADDRNOTAVAIL.
pub(crate) const NO_PORT: i32 = libc::EADDRNOTAVAIL;

/// EPROTONOSUPPORT and ENOPROTOOPT: what a kernel without MPTCP says, and one where it is off.
pub(crate) const NO_SUCH_PROTOCOL: i32 = libc::EPROTONOSUPPORT;
pub(crate) const NOT_SWITCHED_ON: i32 = libc::ENOPROTOOPT;

pub(crate) fn listen_multipath(address: SocketAddr) -> io::Result<Socket> {
    let socket = multipath(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    limit_reads(&socket)?;
    Ok(socket)
}

pub(crate) fn connect_multipath(from: SocketAddr, to: SocketAddr) -> io::Result<Socket> {
    let socket = multipath(to)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    limit_reads(&socket)?;
    Ok(socket)
}

fn multipath(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::MPTCP),
    )
}

/// Sends the SYN and leaves it at that.
pub(crate) fn send_syn(from: SocketAddr, to: SocketAddr, watch: Timeouts) -> io::Result<Socket> {
    let socket = stream(to)?;
    watch.prepare(&socket)?;
    socket.set_keepalive(watch.keepalive.is_some())?;
    socket.set_tcp_user_timeout(watch.user_timeout)?;
    socket.bind(&from.into())?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        _ => {}
    }
    socket.set_nonblocking(false)?;
    limit_reads(&socket)?;
    Ok(socket)
}

/// Sends the SYN with a byte in it and leaves it at that.
pub(crate) fn send_syn_with_data(from: SocketAddr, to: SocketAddr) -> io::Result<Socket> {
    let socket = stream(to)?;
    socket.bind(&from.into())?;
    socket.set_nonblocking(true)?;
    match socket.send_to_with_flags(b"x", &to.into(), libc::MSG_FASTOPEN) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        _ => {}
    }
    socket.set_nonblocking(false)?;
    limit_reads(&socket)?;
    Ok(socket)
}

pub(crate) fn stream(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
}

/// No call on a socket of the lab waits for ever.
pub(crate) fn limit_reads(socket: &Socket) -> io::Result<()> {
    SockRef::from(socket).set_read_timeout(Some(LIMIT))
}
