//! As much of HTTP/1.0 as it takes to ask the agent: one request, one response, the connection ends.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use crate::Error;

/// Generous: the agent may be busy attaching its hooks on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where an agent answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads `http://HOST:PORT`, with or without the scheme and a final slash.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Http {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        if url.starts_with("https://") {
            return Err(bad("TLS is not supported here: write http://HOST:PORT"));
        }
        let bare = url.strip_prefix("http://").unwrap_or(url);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let port = bare
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if bare.contains(['/', '?', '#', '@']) || port.is_none() {
            return Err(bad(
                "this is no address of an agent: write http://HOST:PORT",
            ));
        }
        Ok(Self(bare.to_owned()))
    }

    /// Asks for a path; the answer's status and body.
    ///
    /// # Errors
    /// When there is no answer, or none in HTTP.
    pub fn get(&self, path: &str) -> Result<(u16, String), Error> {
        let failed = |why: String| Error::Http {
            url: format!("http://{}{path}", self.0),
            why,
        };
        let answer = self.ask(path).map_err(|error| failed(error.to_string()))?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| failed("the answer is not HTTP".to_owned()))?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| failed("the answer has no status".to_owned()))?;
        Ok((status, body.to_owned()))
    }

    /// Asks for a path whose answer must be 200; its body.
    ///
    /// # Errors
    /// When the answer is anything else.
    pub fn text(&self, path: &str) -> Result<String, Error> {
        match self.get(path)? {
            (200, body) => Ok(body),
            (status, body) => Err(self.refused(path, status, &body)),
        }
    }

    /// An answer other than the one that was hoped for.
    pub(crate) fn refused(&self, path: &str, status: u16, body: &str) -> Error {
        Error::Http {
            url: format!("http://{}{path}", self.0),
            why: format!("the answer is {status}: {}", body.trim()),
        }
    }

    fn ask(&self, path: &str) -> io::Result<String> {
        let mut last = io::Error::other("the name has no address");
        for address in self.0.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => return self.exchange(&stream, path),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, mut stream: &TcpStream, path: &str) -> io::Result<String> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.0
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for good in [
            "http://127.0.0.1:9841",
            "http://127.0.0.1:9841/",
            "127.0.0.1:9841",
        ] {
            assert_eq!(Origin::parse(good).unwrap().0, "127.0.0.1:9841");
        }
        assert_eq!(Origin::parse("http://[::1]:80").unwrap().0, "[::1]:80");
        for bad in [
            "",
            "localhost",
            "https://h:1",
            "http://h:1/metrics",
            "http://u@h:1",
            "h:99999",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
