//! Sockets handed over as systemd does.

use std::{
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use super::binary::PATH;

/// The agent with these as its descriptors from 3 on. They arrive as standard input and output, because
/// a descriptor that is open to one child would be open to children of other tests as well.
pub fn activated<const N: usize>(sockets: [OwnedFd; N], arguments: &str) -> Command {
    const { assert!(N <= 2, "standard input and output") };
    let moves: String = ["exec 3<&0 0</dev/null; ", "exec 4<&1 1>/dev/null; "][..N].concat();
    let script = format!(
        "{moves}LISTEN_FDS={N} LISTEN_PID=$$ exec '{PATH}' agent --log-format json --web.systemd-socket {arguments}"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]);
    for (number, socket) in sockets.into_iter().enumerate() {
        match number {
            0 => command.stdin(Stdio::from(socket)),
            _ => command.stdout(Stdio::from(socket)),
        };
    }
    command
}
