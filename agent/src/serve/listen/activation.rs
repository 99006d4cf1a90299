//! Sockets that systemd has opened and hands over (sd_listen_fds(3)).
//! It must never take what was meant for another process, nor what does not listen.

use std::{
    env, fs, io,
    os::unix::{fs::MetadataExt, net::UnixListener},
    process,
};

use listenfd::ListenFd;
use socket2::SockRef;
use tracing::warn;

use super::Listener;

/// More than any unit has.
const MOST: usize = 256;

const ADVICE: &str =
    "start the agent by a .socket unit (see docs/web.md), or leave out --web.systemd-socket";

/// Why nothing usable was handed over.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The environment names no sockets.
    #[error("--web.systemd-socket: systemd has handed over no sockets ({0}); {ADVICE}")]
    None(String),
    /// One is not of a kind that is served.
    #[error(
        "--web.systemd-socket: descriptor {descriptor} is of no use: {reason}; the .socket unit must have ListenStream= (TCP or a unix socket) and Accept=no"
    )]
    Unusable {
        /// Its number.
        descriptor: usize,
        /// What is wrong with it.
        reason: io::Error,
    },
}

/// All sockets that were handed over, which can be taken once.
pub fn listeners() -> Result<Vec<Listener>, ActivationError> {
    let said = |name| env::var(name).ok();
    check(
        said("LISTEN_FDS").as_deref(),
        said("LISTEN_PID").as_deref(),
        process::id(),
    )?;
    let mut handed = ListenFd::from_env();
    (0..handed.len())
        .map(|index| {
            take(&mut handed, index).map_err(|reason| ActivationError::Unusable {
                // The first is 3: what comes before is standard input, output and error.
                descriptor: index + 3,
                reason,
            })
        })
        .collect()
}

fn check(fds: Option<&str>, pid: Option<&str>, own: u32) -> Result<(), ActivationError> {
    let none = |why: String| Err(ActivationError::None(why));
    let Some(fds) = fds else {
        return none("LISTEN_FDS is not set".into());
    };
    if !fds.parse().is_ok_and(|fds| (1..=MOST).contains(&fds)) {
        return none(format!("LISTEN_FDS is {fds:?}"));
    }
    match pid {
        Some(pid) if pid.parse() == Ok(own) => Ok(()),
        Some(pid) => none(format!("LISTEN_PID is {pid:?}, this is process {own}")),
        None => none("LISTEN_PID is not set".into()),
    }
}

fn take(handed: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // What is no TCP socket stays in its place.
    let listener: Listener = match handed.take_tcp_listener(index) {
        Ok(Some(tcp)) => tcp.into(),
        _ => match handed.take_unix_listener(index) {
            Ok(Some(unix)) => unix.into(),
            _ => return Err(io::Error::other("it is no stream socket of TCP or unix")),
        },
    };
    let listens = match &listener {
        Listener::Tcp(tcp) => SockRef::from(tcp).is_listener(),
        Listener::Unix(unix) => SockRef::from(unix).is_listener(),
    };
    if listens? {
        if let Listener::Unix(unix) = &listener {
            warn_if_open(unix);
        }
        Ok(listener)
    } else {
        Err(io::Error::other("it does not listen"))
    }
}

/// systemd makes sockets with mode 0666 where a unit does not say otherwise.
fn warn_if_open(socket: &UnixListener) {
    let address = socket.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    let mode = path.and_then(|path| fs::metadata(path).ok());
    if mode.is_some_and(|found| found.mode() & 0o002 != 0) {
        warn!(
            socket = ?path,
            "everybody on this machine may connect, and see peers and processes; set SocketMode=0660 in the .socket unit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_for_this_process() {
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
