//! Real events, so that every hook has something to count.
//!
//! # Invariants
//! At most some 700 descriptors are open: 1,024 is a common limit.

use std::{
    io::{self, ErrorKind, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::storm::{Close, Worker};

const CONNECTIONS: u32 = 5_000;
/// A second: faster than any machine.
const RATE: u32 = u32::MAX;
const REFUSALS: u32 = 1_000;
const PROBING: usize = 250;
const UNANSWERED: usize = 100;
const STUFFED: usize = 30;

/// Idle time and interval of keepalive; the kernel knows no shorter one.
const SECOND: Duration = Duration::from_secs(1);
/// Some probes and retransmissions of each socket.
const WAIT: Duration = Duration::from_millis(4_500);

/// Makes them; takes some five seconds.
pub fn make() -> Result<()> {
    for close in [Close::Orderly, Close::Reset] {
        Worker::new()?
            .run(CONNECTIONS, close, RATE)
            .context("connecting and closing")?;
    }
    refusals();
    // Held together, so that their timers run in the same seconds.
    let held = (
        probing().context("opening connections with keepalive")?,
        unanswered().context("opening connections nobody accepts")?,
        stuffed().context("filling windows")?,
    );
    thread::sleep(WAIT);
    drop(held);
    Ok(())
}

/// Resets that answer a segment for which there is no socket.
fn refusals() {
    for address in [
        SocketAddr::from(([127, 0, 0, 1], 1)),
        (Ipv6Addr::LOCALHOST, 1).into(),
    ] {
        for _ in 0..REFUSALS {
            // Refused is what is wanted; where there is no IPv6, its hook does not run.
            let _ = TcpStream::connect(address);
        }
    }
}

/// Idle connections that probe each second and are answered.
fn probing() -> io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let keepalive = TcpKeepalive::new().with_time(SECOND).with_interval(SECOND);
    let pair = || {
        let client = TcpStream::connect(listener.local_addr()?)?;
        SockRef::from(&client).set_tcp_keepalive(&keepalive)?;
        Ok((client, listener.accept()?.0))
    };
    (0..PROBING).map(|_| pair()).collect()
}

/// Connections whose SYN is dropped, since the listener's queue is full, and sent again.
fn unanswered() -> io::Result<Vec<Socket>> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let address = listener.local_addr()?;
    let client = || {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        client.set_nonblocking(true)?;
        match client.connect(&address) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(client),
        }
    };
    let clients = (0..UNANSWERED).map(|_| client());
    [Ok(listener)].into_iter().chain(clients).collect()
}

/// Connections whose reader does not read: the window closes and is probed.
fn stuffed() -> io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    SockRef::from(&listener).set_recv_buffer_size(4_096)?;
    let pair = || {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let server = listener.accept()?.0;
        client.set_nonblocking(true)?;
        loop {
            match client.write(&[0; 4_096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((client, server)),
                Err(error) => return Err(error),
            }
        }
    };
    (0..STUFFED).map(|_| pair()).collect()
}
