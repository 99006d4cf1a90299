//! The address of an agent.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use hyper::Uri;

use crate::serve;

/// `http://HOST:PORT`, or the path of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Http {
        /// A name or an address, in brackets where it is IPv6.
        host: String,
        /// The port.
        port: u16,
    },
    /// By the agent's unix socket.
    Socket(PathBuf),
}

impl Address {
    /// As the header `Host` has it.
    pub fn authority(&self) -> String {
        match self {
            Self::Http { host, port } => format!("{host}:{port}"),
            Self::Socket(_) => "localhost".to_owned(),
        }
    }
}

/// A host as resolvers know it: brackets are for URLs alone.
pub fn name(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, port } => write!(f, "http://{host}:{port}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = || {
            "not the address of an agent; write http://HOST:PORT, such as http://127.0.0.1:9841, or the path of its unix socket, such as /run/halfopen/halfopen.sock"
                .to_owned()
        };
        let path = serve::socket_path(typed).map_err(|error| error.to_string())?;
        if let Some(path) = path.map(Path::to_owned) {
            return Ok(Self::Socket(path));
        }
        let uri: Uri = typed.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_plain = uri.scheme_str() == Some("http")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@');
        let host = authority.host();
        // Digits that make no port are left out by the parser, as if none had been written.
        let port = match authority.as_str().strip_prefix(host).ok_or_else(wrong)? {
            "" => 80,
            port => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(wrong)?,
        };
        if !is_plain || host.is_empty() {
            return Err(wrong());
        }
        Ok(Self::Http {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (typed, expected, named) in [
            (
                "http://127.0.0.1:9841",
                "http://127.0.0.1:9841",
                "127.0.0.1",
            ),
            (
                "http://127.0.0.1:9841/",
                "http://127.0.0.1:9841",
                "127.0.0.1",
            ),
            ("http://[::1]:9841", "http://[::1]:9841", "::1"),
            ("http://localhost", "http://localhost:80", "localhost"),
        ] {
            let address: Address = typed.parse().unwrap();
            assert_eq!(address.to_string(), expected);
            let Address::Http { host, .. } = address else {
                panic!("{typed} is no socket");
            };
            assert_eq!(name(&host), named);
        }
        for typed in [
            "/run/halfopen/halfopen.sock",
            "unix:/run/halfopen/halfopen.sock",
        ] {
            let address: Address = typed.parse().unwrap();
            assert_eq!(address.to_string(), "unix:/run/halfopen/halfopen.sock");
            assert_eq!(address.authority(), "localhost");
        }
        for wrong in ["unix:", "unix:halfopen.sock", "unix:/run/", "/"] {
            let reason = wrong.parse::<Address>().unwrap_err();
            assert!(reason.contains("not the path of a unix socket"), "{reason}");
        }
        for wrong in [
            "",
            "127.0.0.1:9841",
            ":9841",
            "https://127.0.0.1:9841",
            "http://",
            "http://:9841",
            "http://x:99999",
            "http://x:0",
            "http://x:y",
            "http://x:",
            "http://x:1/metrics",
            "http://x:1/?deaths",
            "http://me@x:1",
            "http://x y",
            "halfopen.sock",
        ] {
            let reason = wrong.parse::<Address>().unwrap_err();
            assert!(reason.contains("http://HOST:PORT"), "{wrong}: {reason}");
        }
    }
}
