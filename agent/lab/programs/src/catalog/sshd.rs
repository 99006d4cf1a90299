//! sshd: switches keepalive on, and leaves its times to the system.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::{
    greeting::read_until,
    program::{KeepaliveConfig, Program},
};

/// `TCPKeepAlive` has no times (sshd_config(5)); `ClientAliveInterval`, which is off, would be SSH's
/// own.
const CONFIGURATION: &str = "\
Port @PORT@
HostKey /run/key
PidFile none
UsePAM no
TCPKeepAlive yes
LoginGraceTime 0
";

pub(super) const SSHD: Program = Program {
    name: "sshd",
    port: 7703,
    binary: "usr/sbin/sshd",
    user: "root",
    // Its folder, which must belong to root alone, has a fixed name.
    files: &[("sshd/config", CONFIGURATION)],
    script: "ssh-keygen -q -t ed25519 -N '' -f /run/key && \
             exec /usr/sbin/sshd -D -e -f /run/sshd/config",
    sysctls: &[
        ("ipv4/tcp_keepalive_time", "3"),
        ("ipv4/tcp_keepalive_intvl", "1"),
        ("ipv4/tcp_keepalive_probes", "4"),
    ],
    greet,
    keepalive: KeepaliveConfig {
        setting: "default",
        idle_s: 3,
        interval_s: 1,
        probes: 4,
    },
    behind: None,
};

/// Versions, then the server's half of the key exchange (RFC 4253, 4.2 and 6): it now waits for ours.
fn greet(stream: &mut TcpStream) -> io::Result<()> {
    read_until(stream, b"\r\n")?;
    stream.write_all(b"SSH-2.0-lab\r\n")?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    let packet = io::copy(&mut stream.take(length), &mut io::sink())?;
    if packet == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
