//! One lab at a time: two at once would count on the same ports. The lock is an abstract socket's name, which
//! ends with its process, however that ends.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixListener},
};

use crate::{Error, net::host};

/// The right to use the lab's ports on this machine.
#[derive(Debug)]
pub struct LabLock {
    _name: UnixListener,
}

impl LabLock {
    /// Takes the right.
    ///
    /// # Errors
    /// While another process has it.
    pub fn take() -> Result<Self, Error> {
        let taken = |source| Error::System {
            tried: "reserve the lab for this process".to_owned(),
            source,
            help: "another selftest or demo is running on this machine: wait for its end",
        };
        let name = SocketAddr::from_abstract_name("halfopen-lab").map_err(taken)?;
        let name = UnixListener::bind_addr(&name).map_err(taken)?;
        // What a lab left that was killed outright; nobody else's, now that the lock is ours.
        host::sweep();
        Ok(Self { _name: name })
    }
}
