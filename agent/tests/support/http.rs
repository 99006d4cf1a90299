//! The HTTP client of these tests: it sends what it is given, and returns answers as they came.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A read that lasts this long has failed.
pub const READ_LIMIT: Duration = Duration::from_secs(60);

/// Connects; no read waits for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(READ_LIMIT)).unwrap();
    stream
}

/// Writes a request, its headers lines that end in CRLF; a host is added where they have none.
pub fn send(mut stream: impl Write, method: &str, path: &str, headers: &str) -> io::Result<()> {
    let host = if headers.contains("Host:") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    stream.write_all(format!("{method} {path} HTTP/1.1\r\n{host}{headers}\r\n").as_bytes())
}

/// Writes a request after whose answer the server is to close; all that it sends.
pub fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
) -> io::Result<Vec<u8>> {
    send(
        &mut stream,
        method,
        path,
        &format!("Connection: close\r\n{headers}"),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The code of an answer; 0 where it is none.
pub fn status(answer: &str) -> u16 {
    let code = answer
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| answer.strip_prefix("HTTP/1.0 "));
    code.and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// What follows the headers of an answer.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn an_answer_is_taken_apart() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nlater\r\n\r\n";
    assert_eq!((status(answer), body(answer)), (503, "later\r\n\r\n"));
    assert_eq!(status("HTTP/1.0 400 Bad Request\r\n"), 400);
    for none in ["", "HTTP/1.1 ", "HTTP/1.1 abc", "HTTP/2 200"] {
        assert_eq!((status(none), body(none)), (0, ""), "{none:?}");
    }
}
