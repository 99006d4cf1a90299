//! What is done to one connection after it has been established. Each returns when the connection is certain
//! to end as its case says, and in no other way.

use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    time::Duration,
};

use socket2::Socket;

use crate::{
    Error,
    net::{open::Timeouts, pair::MARK},
    stress::sockets,
    wait::{self, Awaited, LIMIT},
};

/// A connection, its ends named by what happens to them.
#[derive(Debug)]
pub(super) struct DyingPair {
    pub(super) dying: Socket,
    pub(super) other: Socket,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::socket(what, source)
}

/// From now on nothing of this end reaches the peer, or leaves its host.
fn silence(socket: &Socket) -> Result<(), Error> {
    socket
        .set_tos_v4(MARK)
        .map_err(failed("set a socket's type of service"))
}

/// Idle, with keepalive; nothing reaches the peer, which sends nothing by itself.
pub(super) fn enable_keepalive(connection: &DyingPair, timeouts: Timeouts) -> Result<(), Error> {
    let socket = &connection.dying;
    silence(socket)?;
    timeouts
        .prepare(socket)
        .and_then(|()| socket.set_tcp_user_timeout(timeouts.user_timeout))
        .and_then(|()| socket.set_keepalive(true))
        .map_err(failed("switch SO_KEEPALIVE on"))
}

/// A byte that never arrives.
pub(super) fn send_unacked(connection: &DyingPair, timeouts: Timeouts) -> Result<(), Error> {
    let socket = &connection.dying;
    silence(socket)?;
    socket
        .set_tcp_user_timeout(timeouts.user_timeout)
        .and_then(|()| (&*socket).write_all(b"x"))
        .map_err(failed("write into silence"))
}

/// Writes until the peers have no room left, and lets each fall silent when only window probes can
/// follow: with a segment on its way the connection would die of its retransmission instead.
pub(super) fn close_window(connections: &[DyingPair]) -> Result<(), Error> {
    let mut open: Vec<&Socket> = connections.iter().map(|both| &both.dying).collect();
    for socket in &open {
        socket
            .set_nonblocking(true)
            .map_err(failed("set O_NONBLOCK"))?;
    }
    wait::until("zero windows", LIMIT, || {
        let mut waiting = Vec::new();
        for socket in open.drain(..) {
            if !is_shut(socket)? {
                waiting.push(socket);
            }
        }
        open = waiting;
        Ok(if open.is_empty() {
            Awaited::Done(())
        } else {
            Awaited::NotYet(format!("{} windows are open", open.len()))
        })
    })
}

fn is_shut(socket: &Socket) -> Result<bool, Error> {
    let state = |socket| sockets::send_state(socket).map_err(failed("ask for TCP_INFO"));
    let chunk = [0; 16 << 10];
    loop {
        match (&*socket).write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(failed("fill a window")(error)),
        }
    }
    if !state(socket)?.is_blocked() {
        return Ok(false);
    }
    silence(socket)?;
    // The window may have opened in between; what was sent then reaches the peer again.
    if state(socket)?.is_blocked() {
        return Ok(true);
    }
    socket
        .set_tos_v4(0)
        .map_err(failed("set a socket's type of service"))?;
    Ok(false)
}

/// Closed with a byte and a FIN that never arrive. The peer stays.
pub(super) fn orphan(connection: DyingPair) -> Result<Socket, Error> {
    silence(&connection.dying)?;
    (&connection.dying)
        .write_all(b"x")
        .map_err(failed("write into silence"))?;
    Ok(connection.other)
}

/// Reset by SO_LINGER 0. The peer stays: closed before the reset has come it would answer.
pub(super) fn linger(connection: DyingPair) -> Result<Socket, Error> {
    connection
        .dying
        .set_linger(Some(Duration::ZERO))
        .map_err(failed("set SO_LINGER to 0"))?;
    Ok(connection.other)
}

/// Reset by a close with unread data. The peer stays.
pub(super) fn close_unread(connection: DyingPair) -> Result<Socket, Error> {
    (&connection.other)
        .write_all(b"x")
        .and_then(|()| connection.dying.peek(&mut [MaybeUninit::uninit()]))
        .map_err(failed("send a byte that nobody reads"))?;
    Ok(connection.other)
}

/// Closed, and sent to by the peer, which stays.
pub(super) fn send_after_close(connection: DyingPair) -> Result<Socket, Error> {
    drop(connection.dying);
    send_after_fin(&connection.other)?;
    Ok(connection.other)
}

/// The same with a socket that its application holds.
pub(super) fn send_after_shutdown(connection: &DyingPair) -> Result<(), Error> {
    connection
        .dying
        .shutdown(Shutdown::Both)
        .map_err(failed("shut a connection down"))?;
    send_after_fin(&connection.other)
}

fn send_after_fin(mut socket: &Socket) -> Result<(), Error> {
    socket
        .read_exact(&mut [0])
        .or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| socket.write_all(b"xyz"))
        .map_err(failed("send after the peer's FIN"))
}

/// A question, an answer, and an end in good order.
pub(super) fn close_orderly(connection: DyingPair) -> Result<(), Error> {
    let DyingPair { dying, other } = connection;
    (&dying)
        .write_all(b"?")
        .and_then(|()| (&other).read_exact(&mut [0]))
        .and_then(|()| (&other).write_all(b"!"))
        .and_then(|()| (&dying).read_exact(&mut [0]))
        .and_then(|()| dying.shutdown(Shutdown::Write))
        .and_then(|()| io::copy(&mut &other, &mut io::sink()))
        .and_then(|_| other.shutdown(Shutdown::Write))
        .and_then(|()| io::copy(&mut &dying, &mut io::sink()))
        .map(drop)
        .map_err(failed("close a connection in good order"))
}
