//! What all of the agent's JSON has: the name and version of its format, and ends of connections.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, de::DeserializeOwned};

use crate::Error;

/// A form that is understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonFormat {
    /// `format`.
    pub(crate) name: &'static str,
    /// `format_version`.
    pub(crate) version: u32,
    /// What is read in it, for people.
    pub(crate) what: &'static str,
}

#[derive(Deserialize)]
struct FormatHead {
    format: String,
    format_version: u32,
}

impl JsonFormat {
    /// Parses a text of this form.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub(crate) fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T, Error> {
        let failed = |why: String| Error::Format {
            what: self.what.to_owned(),
            why,
        };
        let FormatHead {
            format,
            format_version,
        } = serde_json::from_str(text).map_err(|e| failed(e.to_string()))?;
        if (format.as_str(), format_version) != (self.name, self.version) {
            return Err(failed(format!(
                "it is {format} {format_version}, not {} {}",
                self.name, self.version
            )));
        }
        serde_json::from_str(text).map_err(|e| failed(e.to_string()))
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct JsonAddress {
    address: IpAddr,
    port: u16,
}

impl JsonAddress {
    /// As everybody else has it.
    pub(crate) const fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

#[cfg(test)]
impl From<SocketAddr> for JsonAddress {
    fn from(socket: SocketAddr) -> Self {
        Self {
            address: socket.ip(),
            port: socket.port(),
        }
    }
}
