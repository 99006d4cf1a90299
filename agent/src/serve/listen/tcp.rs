//! TCP sockets, bound to every address of a host name that this machine has.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{address::ListenAddress, error::ListenError};
use crate::serve::limits::LISTEN_BACKLOG;

/// Listens on a port of a host: one socket per address of its name; `None` is all addresses.
pub fn bind(host: Option<&str>, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let Some(host) = host else {
        return bind_any(port).map(|listener| vec![listener]);
    };
    let resolved: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|reason| ListenError::Resolve {
            address: ListenAddress::Tcp {
                host: Some(host.to_owned()),
                port,
            }
            .to_string(),
            reason,
        })?
        .collect();
    let mut listeners = Vec::new();
    let mut absent = None;
    for &resolved in &resolved {
        match listen(resolved) {
            Ok(listener) => listeners.push(listener),
            // A name such as localhost has an IPv6 address even if IPv6 is off.
            Err(reason) if is_absent(&reason) => absent = Some(explain(resolved, reason)),
            Err(reason) => return Err(explain(resolved, reason)),
        }
    }
    match absent {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn bind_any(port: u16) -> Result<TcpListener, ListenError> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match listen(v6) {
        Err(reason) if is_absent(&reason) => {
            let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            listen(v4).map_err(|reason| explain(v4, reason))
        }
        result => result.map_err(|reason| explain(v6, reason)),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let SocketAddr::V6(v6) = address {
        // The unspecified address accepts IPv4 too, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // A restarted agent does not wait for connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn explain(address: SocketAddr, reason: io::Error) -> ListenError {
    match reason.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            ListenError::Privileged { address }
        }
        _ => ListenError::Other { address, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let first = bind(None, 0).unwrap();
        let taken = first[0].local_addr().unwrap().port();
        let error = bind(Some("127.0.0.1"), taken).unwrap_err().to_string();
        assert!(
            error.contains(&format!("127.0.0.1:{taken}: the port is in use")),
            "{error}"
        );
    }
}
