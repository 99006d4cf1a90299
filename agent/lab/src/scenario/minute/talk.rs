//! What the connections of the living minute carry: blocks of bytes, each of which is compared with what was sent.

use std::{
    io::{self, Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;

/// The longest block.
const LONGEST: usize = 64 << 10;

/// The byte at this place of what is sent one way; no two places within a block's reach look the same for long.
fn byte(place: usize) -> u8 {
    u8::try_from(place % 251).unwrap_or_default()
}

/// Sends a block of each of these sizes by turns until then, and one without bytes at last.
pub(super) fn send(
    mut socket: &Socket,
    sizes: &[usize],
    every: Duration,
    until: Instant,
) -> io::Result<()> {
    let mut place = 0;
    for size in sizes.iter().cycle() {
        let is_over = Instant::now() >= until;
        let size = if is_over { 0 } else { *size };
        let mut block = u32::try_from(size).unwrap_or(0).to_be_bytes().to_vec();
        block.extend((place..place + size).map(byte));
        socket.write_all(&block)?;
        if is_over {
            return Ok(());
        }
        place += size;
        thread::sleep(every);
    }
    Ok(())
}

/// For how long a reader reads, and then does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    pub(super) reads: Duration,
    pub(super) pauses: Duration,
    /// From then on it reads only.
    pub(super) until: Instant,
}

/// Receives blocks up to the one without bytes; how many bytes they had.
pub(super) fn receive(mut socket: &Socket, pauses: Option<Pauses>) -> io::Result<usize> {
    let mut place = 0;
    let mut since = Instant::now();
    loop {
        if let Some(pauses) = pauses
            && since.elapsed() >= pauses.reads
            && Instant::now() < pauses.until
        {
            thread::sleep(pauses.pauses);
            since = Instant::now();
        }
        let mut size = [0; 4];
        socket.read_exact(&mut size)?;
        let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
        if size > LONGEST {
            return Err(other(format!("a block of {size} bytes after {place}")));
        }
        let mut block = vec![0; size];
        socket.read_exact(&mut block)?;
        let is_right = |(at, it): (usize, &u8)| *it == byte(place + at);
        if !block.iter().enumerate().all(is_right) {
            return Err(other(format!("other bytes than were sent after {place}")));
        }
        if size == 0 {
            return Ok(place);
        }
        place += size;
    }
}

pub(super) fn other(what: String) -> io::Error {
    io::Error::other(what)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    fn pair() -> [Socket; 2] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        [client.into(), listener.accept().unwrap().0.into()]
    }

    #[test]
    fn what_is_sent_is_received() {
        let [client, server] = pair();
        let until = Instant::now() + Duration::from_millis(50);
        let sent = thread::spawn(move || send(&client, &[300, 7], Duration::from_millis(5), until));
        assert!(receive(&server, None).unwrap() >= 300);
        sent.join().unwrap().unwrap();
    }

    #[test]
    fn another_byte_is_noticed() {
        let [client, server] = pair();
        (&client).write_all(&[0, 0, 0, 2, 0, 2]).unwrap();
        assert!(receive(&server, None).is_err());
    }
}
