//! The kernel's own list of TCP sockets of one network namespace: /proc/net/tcp and /proc/net/tcp6. The
//! agent's reader is not used: two readers cannot be wrong in the same way.

use std::{fs, io};

use crate::Error;

/// Column tr of the table: which timer runs (get_tcp4_sock() in net/ipv4/tcp_ipv4.c).
pub mod timer {
    /// None runs.
    pub const NONE: u8 = 0;
    /// Keepalive; of an orphan in FIN_WAIT2, its end.
    pub const KEEPALIVE: u8 = 2;
    /// TIME_WAIT.
    pub const TIME_WAIT: u8 = 3;
    /// Persist: the window is closed, and is probed.
    pub const PERSIST: u8 = 4;
}

/// Column st of the table, from 1 (include/net/tcp_states.h), by the names that Prometheus has.
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    SYN_RECV,
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    // TCP_NEW_SYN_RECV, which get_openreq4() shows as SYN_RECV: no kernel is known to show it bare.
    SYN_RECV,
];

/// The state of a connection whose SYN has been received.
pub const SYN_RECV: &str = "syn_recv";

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketRow {
    /// The local port.
    pub local_port: u16,
    /// The remote port.
    pub remote_port: u16,
    /// Its state; that of a TIME_WAIT socket that stands in for FIN_WAIT2 is FIN_WAIT2.
    pub state: &'static str,
    /// Which timer runs; 0 if none does.
    pub timer: u8,
}

/// Reads the sockets of the calling thread's network namespace.
///
/// # Errors
/// When they cannot be read.
pub fn here() -> Result<Vec<SocketRow>, Error> {
    let mut sockets = Vec::new();
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/thread-self/net/{file}");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A kernel without IPv6 has no sockets of that kind either.
            Err(error) if file == "tcp6" && error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(Error::System {
                    tried: format!("read {path}"),
                    source,
                    help: "check that /proc is mounted",
                });
            }
        };
        for line in text.lines().skip(1) {
            sockets.push(socket(line).ok_or_else(|| Error::Format {
                what: path.clone(),
                why: format!("this line is no socket: {line}"),
            })?);
        }
    }
    Ok(sockets)
}

/// `sl: local:port remote:port st tx:rx tr:when …`, all in hexadecimal.
fn socket(line: &str) -> Option<SocketRow> {
    let mut columns = line.split_whitespace().skip(1);
    let mut port = || {
        let (_, port) = columns.next()?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    let (local_port, remote_port) = (port()?, port()?);
    let state = usize::from_str_radix(columns.next()?, 16).ok()?;
    let (timer, _) = columns.nth(1)?.split_once(':')?;
    Some(SocketRow {
        local_port,
        remote_port,
        state: STATES.get(state.checked_sub(1)?)?,
        timer: u8::from_str_radix(timer, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_of_each_kind() {
        let read = |line| {
            let socket = socket(line).unwrap();
            let SocketRow {
                local_port,
                remote_port,
                state,
                timer,
            } = socket;
            (local_port, remote_port, state, timer)
        };
        let listener = "   0: 00000000:1BA8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0";
        assert_eq!(read(listener), (7080, 0, "listen", 0));
        let time_wait = "   1: 010200C0:69C8 020200C0:1BA8 06 00000000:00000000 03:00000F2A 00000000     0        0 0 3 0";
        assert_eq!(
            read(time_wait),
            (27080, 7080, "time_wait", timer::TIME_WAIT)
        );
        let request = "   2: 020200C0:1B76 010200C0:6996 03 00000000:00000000 01:00000064 00000002     0        0 0 1 0";
        assert_eq!(read(request), (7030, 27030, "syn_recv", 1));
        let mapped = "   0: 0000000000000000FFFF0000010200C0:69C1 0000000000000000FFFF0000020200C0:1BA1 01 00000000:00000000 02:000001F4 00000000     0        0 5 1 0";
        assert_eq!(read(mapped), (27073, 7073, "established", timer::KEEPALIVE));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for wrong in [
            "",
            "0: a b c",
            "0: 00000000:1BA8 00000000:0000 0D 0:0 00:0",
            "0: 00000000:1BA8 00000000:0000 00 0:0 00:0",
            "0: 00000000:1BA8 00000000:0000 0A 0:0",
        ] {
            assert_eq!(socket(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn reads_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let listens = |socket: &SocketRow| socket.local_port == port && socket.state == "listen";
        assert!(here().unwrap().iter().any(listens));
    }
}
