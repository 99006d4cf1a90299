//! Connections opened and closed at a given rate by one thread, which has both ends.
//!
//! # Invariants
//! Every so many connections go to an address of 127/8 that was not used before, with all its ports:
//! ports do not run out, and no connection meets an earlier one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The client closes, then the server; a TIME_WAIT remains.
    Orderly,
    /// The client resets it (SO_LINGER 0); nothing remains.
    Reset,
}

/// Connections between two waits: a wait for each would cost as much as the connection.
const BURST: usize = 50;

/// Far below the 28,000 ports that a client has towards each address.
const CONNECTIONS_PER_ADDRESS: u32 = 5_000;

/// The next unused address: 127.1.0.0 and up.
static ADDRESS: AtomicU32 = AtomicU32::new(0x7f01_0000);

/// A listener on all addresses, and the client that connects to it.
pub struct Worker {
    listener: TcpListener,
    port: u16,
}

impl Worker {
    /// In the calling thread's network namespace.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Opens and closes that many connections, `rate` a second where it is not slower by itself.
    /// Returns the time spent on them, waiting for their turn not included.
    pub fn run(&self, connections: u32, close: Close, rate: u32) -> io::Result<Duration> {
        let start = Instant::now();
        let mut busy = Duration::ZERO;
        let mut address = self.unused_address();
        for number in (0..connections).step_by(BURST) {
            let due = start + Duration::from_secs(number.into()) / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let began = Instant::now();
            for _ in 0..BURST {
                self.connection(address, close)?;
            }
            busy += began.elapsed();
            if number % CONNECTIONS_PER_ADDRESS == 0 {
                address = self.unused_address();
            }
        }
        Ok(busy)
    }

    fn connection(&self, address: SocketAddr, close: Close) -> io::Result<()> {
        let client = TcpStream::connect(address)?;
        let (server, _) = self.listener.accept()?;
        if close == Close::Reset {
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        drop(client);
        drop(server);
        Ok(())
    }

    fn unused_address(&self) -> SocketAddr {
        let address = ADDRESS.fetch_add(1, Ordering::Relaxed);
        (Ipv4Addr::from_bits(address), self.port).into()
    }
}
