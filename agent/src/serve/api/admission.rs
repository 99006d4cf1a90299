//! Who may see peers and owners.
//!
//! # Invariants
//! A client that is neither local nor authenticated sees none, and a web page cannot read them through
//! a local browser (DNS rebinding).

use std::net::IpAddr;

use hyper::{HeaderMap, StatusCode, header::HOST};

use crate::serve::{
    client::{ClientIdentity, Peer},
    response::HttpError,
};

/// Whether a request may see peers: it came over the unix socket, is authenticated, or comes from a
/// loopback address. In the last case its Host must be an address or localhost, since a web page can
/// point its own name at a loopback address.
pub fn may_see_peers(client: ClientIdentity, headers: &HeaderMap) -> Result<(), HttpError> {
    let refuse = |reason: &str| Err((StatusCode::FORBIDDEN, reason.to_owned()));
    let address = match client.peer {
        Peer::UnixSocket => return Ok(()),
        Peer::Address(_) if client.authenticated => return Ok(()),
        Peer::Address(address) => address.ip().to_canonical(),
    };
    if !address.is_loopback() {
        return refuse(
            "peers and processes are shown to local and authenticated clients only: use 127.0.0.1, [::1] or the unix socket, or set up passwords or client certificates in --web.config.file",
        );
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.map_or("", |host| {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok();
    if is_own || host.is_empty() {
        Ok(())
    } else {
        refuse("use an IP address or localhost as the host name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_authenticated_clients_are_admitted() {
        let check = |peer: Option<&str>, authenticated, host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            let address = |peer: &str| Peer::Address(peer.parse().unwrap());
            let client = ClientIdentity {
                peer: peer.map_or(Peer::UnixSocket, address),
                authenticated,
            };
            let admitted = may_see_peers(client, &headers).is_ok();
            assert_eq!(admitted, expected, "{client:?} {host}");
        };
        let (loopback, other) = (Some("127.0.0.1:5"), Some("192.0.2.1:5"));
        check(loopback, false, "127.0.0.1:9841", true);
        check(loopback, false, "localhost:9841", true);
        check(Some("[::1]:5"), false, "[::1]:9841", true);
        check(Some("[::ffff:127.0.0.1]:5"), false, "127.0.0.1", true);
        check(loopback, false, "evil.example:9841", false);
        check(loopback, true, "agent.example:9841", true);
        check(other, false, "127.0.0.1:9841", false);
        check(Some("[::ffff:192.0.2.1]:5"), false, "127.0.0.1", false);
        check(other, true, "agent.example:9841", true);
        check(None, false, "whatever", true);
    }
}
