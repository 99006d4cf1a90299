//! Where the agent listens: addresses as typed, and sockets bound to them.
//! It must never let an address in use pass for anything else: the error names it and what to do.

mod activation;
mod tcp;
mod unix;

use std::{
    fmt, io,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    str::FromStr,
};

use tracing::warn;

pub use activation::ActivationError;
pub use unix::SocketError;
use unix::SocketFile;

/// Connections that may wait to be accepted: a burst of scrapes should wait, not be refused.
const BACKLOG: i32 = 1024;

/// The port where an agent is looked for.
const PORT: u16 = 9841;

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
    /// There is no `:`.
    #[error(
        "no port; write :9841, 127.0.0.1:9841 or [::1]:9841, or the absolute path of a unix socket"
    )]
    NoPort,
    /// The part after the last `:` is no port.
    #[error("\"{0}\" is no port; a port is a number from 0 (any free one) to 65535")]
    BadPort(String),
    /// The part before the port is no host.
    #[error(
        "\"{0}\" is no host name or address; write an IPv6 address in brackets, as in [::1]:9841"
    )]
    BadHost(String),
    /// What follows `unix:` is no path of a file.
    #[error(
        "\"{0}\" is no path of a unix socket; write an absolute one, as in unix:/run/halfopen/halfopen.sock"
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
            // `u16::from_str` takes a leading plus sign, which no address has.
            Ok(number) if !port.starts_with('+') => number,
            _ => return Err(AddressError::BadPort(port.to_owned())),
        };
        let bad_host = || AddressError::BadHost(host.to_owned());
        let host = if host.is_empty() {
            None
        } else if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(bad_host)?;
            // A scope (fe80::1%eth0) is left to the resolver.
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

/// The path of a unix socket, if that is what was typed: `unix:PATH`, or an absolute path.
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

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host name has no address.
    #[error(
        "cannot listen on {address}: the host name does not resolve ({reason}); give an address of this machine"
    )]
    Resolve {
        /// As typed.
        address: String,
        /// What the resolver said.
        reason: io::Error,
    },
    /// Another socket holds the port.
    #[error(
        "cannot listen on {address}: the port is in use by another process (`ss -ltnp` shows which); stop it, or choose another port with --web.listen-address"
    )]
    InUse {
        /// The address tried.
        address: SocketAddr,
    },
    /// The port is one of those that need a privilege.
    #[error(
        "cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE; choose another port with --web.listen-address"
    )]
    Privileged {
        /// The address tried.
        address: SocketAddr,
    },
    /// Anything else.
    #[error(
        "cannot listen on {address}: {reason}; choose an address of this machine with --web.listen-address"
    )]
    Other {
        /// The address tried.
        address: SocketAddr,
        /// What the kernel said.
        reason: io::Error,
    },
    /// A unix socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Nothing usable was handed over by systemd.
    #[error(transparent)]
    Activation(#[from] ActivationError),
}

/// One socket that is listened on.
#[derive(Debug)]
pub enum Listener {
    /// Reached by an address.
    Tcp(TcpListener),
    /// Reached by a path.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(reason) => write!(f, "an unknown address ({reason})"),
            },
            Self::Unix(listener) => match listener.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => write!(f, "unix: (without a path)"),
                },
                Err(reason) => write!(f, "unix: (an unknown path: {reason})"),
            },
        }
    }
}

/// All that is listened on. Dropped, it removes the files of its own unix sockets.
#[derive(Debug, Default)]
pub struct Listening {
    /// The sockets.
    pub listeners: Vec<Listener>,
    files: Vec<SocketFile>,
}

impl Listening {
    /// Listens on each of `addresses`.
    ///
    /// # Errors
    /// When one of them cannot be listened on.
    pub fn on(addresses: &[ListenAddress]) -> Result<Self, ListenError> {
        let mut listening = Self::default();
        for address in addresses {
            listening.add(address)?;
        }
        Ok(listening)
    }

    /// Listens where an agent is looked for: port 9841 of all addresses, and the unix socket `path`, by
    /// default [`SOCKET`]. The socket was not asked for, so that without it there is only a warning.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub fn by_default(path: &Path) -> Result<Self, ListenError> {
        let mut listening = Self::on(&[ListenAddress::Tcp {
            host: None,
            port: PORT,
        }])?;
        if let Err(reason) = listening.add(&ListenAddress::Unix(path.to_owned())) {
            warn!(%reason, "the agent goes on without its unix socket");
        }
        Ok(listening)
    }

    /// Listens on the sockets that systemd hands over (sd_listen_fds(3)).
    ///
    /// # Errors
    /// When there are none, or one of them is of no use.
    pub fn from_systemd() -> Result<Self, ListenError> {
        Ok(Self {
            listeners: activation::listeners()?,
            files: Vec::new(),
        })
    }

    fn add(&mut self, address: &ListenAddress) -> Result<(), ListenError> {
        match address {
            ListenAddress::Tcp { host, port } => {
                let bound = tcp::bind(host.as_deref(), *port)?;
                self.listeners.extend(bound.into_iter().map(Listener::from));
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = unix::bind(path)?;
                self.listeners.push(listener.into());
                self.files.push(file);
            }
        }
        Ok(())
    }
}

/// The unix socket of an agent that was told nothing else.
pub const SOCKET: &str = "/run/halfopen/halfopen.sock";

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
