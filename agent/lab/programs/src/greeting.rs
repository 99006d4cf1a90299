//! What clients say to several programs.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

/// Reads up to these bytes.
pub(crate) fn read_until(stream: &mut TcpStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        if let Err(error) = stream.read_exact(&mut byte) {
            let read = String::from_utf8_lossy(&read);
            return Err(io::Error::new(
                error.kind(),
                format!("{error}, after {read:?}"),
            ));
        }
        read.push(byte[0]);
    }
    Ok(read)
}

/// Asks a web server for a page that ends with a line `ok`; the connection stays open (RFC 9112, 9.3).
pub(crate) fn ask_for_page(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    read_until(stream, b"\r\n\r\nok\n").map(drop)
}
