//! Sockets that systemd has opened and hands over (sd_listen_fds(3)).
//!
//! # Invariants
//! Only listening sockets meant for this process are taken.

use std::{
    env, fs, io,
    os::unix::{fs::MetadataExt, net::UnixListener},
    process,
};

use listenfd::ListenFd;
use socket2::SockRef;
use tracing::warn;

use super::listener::WebListener;

/// More than any unit has.
const MAX_DESCRIPTORS: usize = 256;

const ADVICE: &str =
    "start the agent by a .socket unit (see docs/web.md), or leave out --web.systemd-socket";

/// Why no usable socket was handed over.
#[derive(Debug, thiserror::Error)]
pub enum SystemdSocketError {
    /// The environment names none.
    #[error("--web.systemd-socket: systemd has handed over no sockets ({0}); {ADVICE}")]
    None(String),
    /// One of them cannot be served.
    #[error(
        "--web.systemd-socket: descriptor {descriptor} is unusable: {reason}; the .socket unit must have ListenStream= (TCP or a unix socket) and Accept=no"
    )]
    Unusable {
        /// Its number.
        descriptor: usize,
        /// Why.
        reason: io::Error,
    },
}

/// Every socket handed over; they can be taken once.
pub fn listeners() -> Result<Vec<WebListener>, SystemdSocketError> {
    let variable = |name| env::var(name).ok();
    check(
        variable("LISTEN_FDS").as_deref(),
        variable("LISTEN_PID").as_deref(),
        process::id(),
    )?;
    let mut received = ListenFd::from_env();
    (0..received.len())
        .map(|index| {
            take(&mut received, index).map_err(|reason| SystemdSocketError::Unusable {
                // The first is 3, after standard input, output and error.
                descriptor: index + 3,
                reason,
            })
        })
        .collect()
}

fn check(fds: Option<&str>, pid: Option<&str>, own: u32) -> Result<(), SystemdSocketError> {
    let none = |why: String| Err(SystemdSocketError::None(why));
    let Some(fds) = fds else {
        return none("LISTEN_FDS is not set".into());
    };
    if !fds
        .parse()
        .is_ok_and(|fds| (1..=MAX_DESCRIPTORS).contains(&fds))
    {
        return none(format!("LISTEN_FDS is {fds:?}"));
    }
    match pid {
        Some(pid) if pid.parse() == Ok(own) => Ok(()),
        Some(pid) => none(format!("LISTEN_PID is {pid:?}, this is process {own}")),
        None => none("LISTEN_PID is not set".into()),
    }
}

fn take(received: &mut ListenFd, index: usize) -> io::Result<WebListener> {
    // A failed take leaves the descriptor in its place.
    let listener: WebListener = match received.take_tcp_listener(index) {
        Ok(Some(tcp)) => tcp.into(),
        _ => match received.take_unix_listener(index) {
            Ok(Some(unix)) => unix.into(),
            _ => return Err(io::Error::other("it is not a TCP or unix stream socket")),
        },
    };
    let listens = match &listener {
        WebListener::Tcp(tcp) => SockRef::from(tcp).is_listener(),
        WebListener::Unix(unix) => SockRef::from(unix).is_listener(),
    };
    if listens? {
        if let WebListener::Unix(unix) = &listener {
            warn_if_open(unix);
        }
        Ok(listener)
    } else {
        Err(io::Error::other("it does not listen"))
    }
}

/// The default mode of systemd's sockets is 0666.
fn warn_if_open(socket: &UnixListener) {
    let address = socket.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    let mode = path.and_then(|path| fs::metadata(path).ok());
    if mode.is_some_and(|found| found.mode() & 0o002 != 0) {
        warn!(
            socket = ?path,
            "every local user may connect, and see peers and processes; set SocketMode=0660 in the .socket unit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_for_this_process_are_taken() {
        let said = |fds, pid| match check(fds, pid, 7) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(Some("1"), Some("7")), "ok");
        for (fds, pid, expected) in [
            (None, None, "LISTEN_FDS is not set"),
            (Some("0"), Some("7"), "LISTEN_FDS is \"0\""),
            (Some("-1"), Some("7"), "LISTEN_FDS is \"-1\""),
            (Some("257"), Some("7"), "LISTEN_FDS is \"257\""),
            (Some("1"), None, "LISTEN_PID is not set"),
            (
                Some("1"),
                Some("8"),
                "LISTEN_PID is \"8\", this is process 7",
            ),
            (Some("1"), Some(""), "LISTEN_PID is \"\""),
        ] {
            let said = said(fds, pid);
            assert!(
                said.contains(expected) && said.contains("docs/web.md"),
                "{said}"
            );
        }
    }
}
