//! Every socket that the agent listens on.

use std::path::Path;

use tracing::warn;

use super::{
    address::{ListenAddress, PORT},
    error::ListenError,
    listener::WebListener,
    systemd, tcp,
    unix::{self, SocketFile},
};

/// Every bound socket. Dropping it removes the files of the unix sockets it has bound.
#[derive(Debug, Default)]
pub struct BoundListeners {
    /// The sockets.
    pub listeners: Vec<WebListener>,
    files: Vec<SocketFile>,
}

impl BoundListeners {
    /// Listens on each of `addresses`.
    ///
    /// # Errors
    /// When one of them cannot be bound.
    pub fn on(addresses: &[ListenAddress]) -> Result<Self, ListenError> {
        let mut bound = Self::default();
        for address in addresses {
            bound.add(address)?;
        }
        Ok(bound)
    }

    /// Listens on the defaults: port 9841 of all addresses, and the unix socket `path`. Nobody asked for
    /// the socket, so a failure to bind it is only a warning.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub fn by_default(path: &Path) -> Result<Self, ListenError> {
        let mut bound = Self::on(&[ListenAddress::Tcp {
            host: None,
            port: PORT,
        }])?;
        if let Err(reason) = bound.add(&ListenAddress::Unix(path.to_owned())) {
            warn!(%reason, "the agent runs without its unix socket");
        }
        Ok(bound)
    }

    /// Listens on the sockets that systemd hands over (sd_listen_fds(3)).
    ///
    /// # Errors
    /// When there are none, or one of them is unusable.
    pub fn from_systemd() -> Result<Self, ListenError> {
        Ok(Self {
            listeners: systemd::listeners()?,
            files: Vec::new(),
        })
    }

    fn add(&mut self, address: &ListenAddress) -> Result<(), ListenError> {
        match address {
            ListenAddress::Tcp { host, port } => {
                let listeners = tcp::bind(host.as_deref(), *port)?;
                self.listeners
                    .extend(listeners.into_iter().map(WebListener::from));
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
