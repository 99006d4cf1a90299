//! Whether a server on this machine is ready: the agent and Prometheus answer at the same path.
//!
//! # Invariants
//! The probe reads the whole answer before it closes. Unread data would reset the connection, and the
//! agent would count that as a death.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Whether it answers within two seconds, with status 200.
pub fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let timeout = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        write!(
            stream,
            "GET /-/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn reads_the_whole_answer_and_resets_nothing() {
        for (status, is_so) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /-/ready "));
                let body = "ready\n".repeat(1_000);
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                // A reset would be an error.
                stream.read_to_end(&mut Vec::new()).unwrap();
            });
            assert_eq!(is_ready(address), is_so);
            server.join().unwrap();
        }
    }
}
