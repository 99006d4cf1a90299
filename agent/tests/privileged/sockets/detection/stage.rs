//! Connections as the table wants them.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::net::{family::Family, pair::Pair, send_window};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{
    observed::info,
    rows::{Kind, Row},
};

/// The server's; its clients have those above.
pub const PORT: u16 = 7_000;

/// Of a receiver whose window is to close.
const RECEIVE_BUFFER: usize = 4_096;

/// TCP_SYNCNT and TCP_RTO_MAX_MS (include/uapi/linux/tcp.h).
const TCP_SYNCNT: libc::c_int = 7;
pub const TCP_RTO_MAX_MS: libc::c_int = 44;

/// A row's connection; its socket is gone where its application is.
pub struct Staged {
    pub row: &'static Row,
    pub port: u16,
    pub family: Family,
    pub socket: Option<Socket>,
    /// The RTO before anything was lost.
    pub first_rto: Duration,
    /// The server's end.
    _peer: Option<Socket>,
}

fn stream(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
}

pub fn set_option(socket: &Socket, option: libc::c_int, value: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as the socket, and the option's value, of that length, outlives the
    // call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            4,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The server's listener, whose children close their windows soon.
pub fn listen(pair: &Pair, family: Family) -> Socket {
    let address = SocketAddr::new(family.server(), PORT);
    let listening = move || {
        let listener = stream(address)?;
        listener.set_recv_buffer_size(RECEIVE_BUFFER)?;
        listener.bind(&address.into())?;
        listener.listen(64)?;
        Ok::<_, io::Error>(listener)
    };
    pair.server.run(listening).unwrap().unwrap()
}

impl Staged {
    /// As it stands before the peer vanishes.
    pub fn open(
        pair: &Pair,
        family: Family,
        listener: &Socket,
        row: &'static Row,
        port: u16,
    ) -> Self {
        let [from, to] = [(family.client(), port), (family.server(), PORT)].map(SocketAddr::from);
        let opened = move || {
            let socket = stream(to)?;
            if let Some(syns) = row.syn_count {
                set_option(&socket, TCP_SYNCNT, syns)?;
            }
            if let Some(milliseconds) = row.rto_max {
                set_option(&socket, TCP_RTO_MAX_MS, milliseconds)?;
            }
            socket.bind(&from.into())?;
            if !matches!(row.kind, Kind::Syn) {
                socket.connect(&to.into())?;
            }
            socket.set_tcp_user_timeout(row.user_timeout)?;
            socket.set_nonblocking(true)?;
            if let Kind::Idle(idle, interval, probes) = row.kind {
                let settings = TcpKeepalive::new()
                    .with_time(Duration::from_secs(idle))
                    .with_interval(Duration::from_secs(interval))
                    .with_retries(probes);
                socket.set_tcp_keepalive(&settings)?;
            }
            Ok::<_, io::Error>(socket)
        };
        let socket = pair.client.run(opened).unwrap().unwrap();
        let peer = (!matches!(row.kind, Kind::Syn)).then(|| listener.accept().unwrap().0);
        if row.kind.has_closed_window() {
            close_window(&socket);
        }
        if let (Kind::CloseWait | Kind::LastAck, Some(peer)) = (row.kind, &peer) {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            until("the peer's FIN", || {
                socket.recv(&mut [MaybeByte::uninit()]).is_ok()
            });
        }
        Self {
            row,
            port,
            family,
            first_rto: info(&socket).rto,
            socket: Some(socket),
            _peer: peer,
        }
    }

    /// What is left for the time without a peer.
    pub fn trigger(&mut self) {
        let socket = self.socket.as_ref().unwrap();
        let send = || assert_eq!(socket.send(b"x").unwrap(), 1);
        let finish = || socket.shutdown(std::net::Shutdown::Write).unwrap();
        match self.row.kind {
            Kind::Idle(..) | Kind::ClosedWindow | Kind::OrphanClosedWindow => {}
            Kind::Data | Kind::CloseWait | Kind::Orphan => send(),
            Kind::Syn => {
                let to = SocketAddr::new(self.family.server(), PORT);
                let error = socket.connect(&to.into()).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
            }
            Kind::ClosedInFlight => {
                send();
                send_window::close(socket).unwrap();
            }
            Kind::FinWait1 | Kind::LastAck => finish(),
        }
        if self.row.kind.is_orphan() {
            self.socket = None;
        }
    }
}

type MaybeByte = std::mem::MaybeUninit<u8>;

/// Sends until the peer has closed its window, and nothing is in flight.
fn close_window(socket: &Socket) {
    let bytes = [7; 16 * 1024];
    until("the window to close", || {
        loop {
            match SockRef::from(socket).send(&bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return info(socket).unacknowledged == 0;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "waited for {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}
