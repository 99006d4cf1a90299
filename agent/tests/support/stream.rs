//! A client of a stream of events that reads as slowly as it is told to.
//! It must never read ahead of what it hands out by more than a buffer.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// One frame.
#[derive(Debug, Default, PartialEq)]
pub struct Frame {
    pub event: Option<String>,
    pub id: Option<u64>,
    pub data: Option<Value>,
    pub comment: Option<String>,
}

impl Frame {
    /// The events that it says were dropped.
    pub fn dropped(&self) -> Option<u64> {
        let data = self.data.as_ref()?;
        (self.event.as_deref() == Some("dropped")).then(|| data["events"].as_u64().unwrap())
    }
}

/// An open stream.
pub struct Events {
    reader: BufReader<Unchunked<BufReader<TcpStream>>>,
    pub head: String,
}

impl Events {
    /// Asks and reads the head of the answer.
    pub fn open(address: SocketAddr, query: &str, more: &str) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), query, more)
    }

    pub fn over(mut stream: TcpStream, query: &str, more: &str) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "GET /api/v1/events?{query} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = reader.read_line(&mut head).unwrap();
            assert_ne!(read, 0, "no whole head: {head}");
        }
        Self {
            reader: BufReader::new(Unchunked { reader, left: 0 }),
            head,
        }
    }

    /// The next frame; `None` when the stream has ended in good order.
    pub fn next(&mut self) -> Option<Frame> {
        let mut frame = Frame::default();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.strip_suffix('\n').expect("a whole line");
            match line.split_once(": ") {
                None if line.is_empty() => return Some(frame),
                Some(("event", name)) => frame.event = Some(name.to_owned()),
                Some(("id", id)) => frame.id = Some(id.parse().unwrap()),
                Some(("data", data)) => frame.data = Some(serde_json::from_str(data).unwrap()),
                Some(("", comment)) => frame.comment = Some(comment.to_owned()),
                _ => panic!("what is {line:?}?"),
            }
        }
    }

    /// The next frame that is no heartbeat.
    pub fn next_event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.comment.is_none() {
                return Some(frame);
            }
        }
    }
}

/// A body in chunks.
struct Unchunked<R> {
    reader: R,
    /// Of this chunk.
    left: usize,
}

impl<R: BufRead> Read for Unchunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim(), 16)
                .map_err(|_| std::io::Error::other(format!("cut off: {line:?}")))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read;
        if self.left == 0 && read > 0 {
            self.reader.read_line(&mut String::new())?;
        }
        Ok(read)
    }
}
