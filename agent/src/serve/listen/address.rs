//! Listen addresses as typed: `HOST:PORT`, or the path of a unix socket.

use std::{
    fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The default port.
pub const PORT: u16 = 9841;

/// The default unix socket.
pub const SOCKET: &str = "/run/halfopen/halfopen.sock";

/// An address as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `:PORT`, `HOST:PORT` or `[IPV6]:PORT`.
    Tcp {
        /// `None` for all addresses.
        host: Option<String>,
        /// 0 for any that is free.
        port: u16,
    },
    /// `unix:PATH`, or an absolute path.
    Unix(PathBuf),
}

/// Why an address is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `:`.
    #[error(
        "no port; write :9841, 127.0.0.1:9841 or [::1]:9841, or the absolute path of a unix socket"
    )]
    NoPort,
    /// The part after the last `:` is not a port.
    #[error("\"{0}\" is not a port; a port is a number from 0 (any free one) to 65535")]
    BadPort(String),
    /// The part before the port is not a host.
    #[error(
        "\"{0}\" is not a host name or address; write an IPv6 address in brackets, as in [::1]:9841"
    )]
    BadHost(String),
    /// The part after `unix:` is not the path of a file.
    #[error(
        "\"{0}\" is not the path of a unix socket; write an absolute one, as in unix:/run/halfopen/halfopen.sock"
    )]
    BadPath(String),
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(typed: &str) -> Result<Self, AddressError> {
        if let Some(path) = socket_path(typed)? {
            return Ok(Self::Unix(path.to_owned()));
        }
        let (host, port) = typed.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let port = match port.parse() {
            // `u16::from_str` accepts a leading plus sign.
            Ok(number) if !port.starts_with('+') => number,
            _ => return Err(AddressError::BadPort(port.to_owned())),
        };
        let bad_host = || AddressError::BadHost(host.to_owned());
        let host = if host.is_empty() {
            None
        } else if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(bad_host)?;
            // The resolver handles a scope (fe80::1%eth0).
            let address = inner.split_once('%').map_or(inner, |(address, _)| address);
            address.parse::<Ipv6Addr>().map_err(|_| bad_host())?;
            Some(inner.to_owned())
        } else if host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        {
            Some(host.to_owned())
        } else {
            return Err(bad_host());
        };
        Ok(Self::Tcp { host, port })
    }
}

/// The path of a unix socket, typed as `unix:PATH` or as an absolute path; `None` for other text.
///
/// # Errors
/// When `unix:` is followed by anything but an absolute path of a file.
pub fn socket_path(typed: &str) -> Result<Option<&Path>, AddressError> {
    let path = match typed.strip_prefix("unix:") {
        Some(path) => path,
        None if typed.starts_with('/') => typed,
        None => return Ok(None),
    };
    if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') {
        Ok(Some(Path::new(path)))
    } else {
        Err(AddressError::BadPath(path.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, ":{port}"),
            Self::Tcp {
                host: Some(host),
                port,
            } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp {
                host: Some(host),
                port,
            } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: Result<&str, AddressError>) {
        let parsed = typed
            .parse::<ListenAddress>()
            .map(|address| address.to_string());
        assert_eq!(parsed, expected.map(str::to_owned), "{typed}");
    }

    #[test]
    fn addresses() {
        check(":9841", Ok(":9841"));
        check("127.0.0.1:0", Ok("127.0.0.1:0"));
        check("localhost:80", Ok("localhost:80"));
        check("[::1]:9841", Ok("[::1]:9841"));
        check("[fe80::1%lo]:1", Ok("[fe80::1%lo]:1"));
        let own = "unix:/run/halfopen/halfopen.sock";
        check(own, Ok(own));
        check("/run/halfopen/halfopen.sock", Ok(own));
        check("unix:/a:1", Ok("unix:/a:1"));
        for wrong in ["", "relative.sock", "@abstract", "/run/", "/"] {
            let expected = Err(AddressError::BadPath(wrong.into()));
            check(&format!("unix:{wrong}"), expected);
        }
        check("9841", Err(AddressError::NoPort));
        check("", Err(AddressError::NoPort));
        check("localhost:", Err(AddressError::BadPort(String::new())));
        check(":65536", Err(AddressError::BadPort("65536".into())));
        check(":+1", Err(AddressError::BadPort("+1".into())));
        check(":-1", Err(AddressError::BadPort("-1".into())));
        check("::1:9841", Err(AddressError::BadHost("::1".into())));
        check("[::1:9841", Err(AddressError::BadHost("[::1".into())));
        check(
            "[1.2.3.4]:9841",
            Err(AddressError::BadHost("[1.2.3.4]".into())),
        );
        check(
            "http://x:9841",
            Err(AddressError::BadHost("http://x".into())),
        );
    }
}
