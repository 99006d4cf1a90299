//! node: an application sets the idle time, node itself the rest.

use std::{io, net::TcpStream};

use crate::{
    greeting::read_until,
    program::{KeepaliveConfig, Program},
};

/// `socket.setKeepAlive(enable, initialDelay)`: TCP_KEEPIDLE is the delay, TCP_KEEPINTVL 1 second,
/// TCP_KEEPCNT 10 (documentation of `net`; uv__tcp_keepalive() in libuv).
const SERVER: &str = "\
require('net').createServer((socket) => {
    socket.setKeepAlive(true, 2000);
    socket.on('error', () => socket.destroy());
    socket.write('ok\\n');
}).listen(@PORT@, '192.0.2.2');
";

pub(super) const NODE: Program = Program {
    name: "node",
    port: 7706,
    binary: "usr/bin/node",
    user: "root",
    files: &[("server.js", SERVER)],
    script: "exec node /run/server.js",
    sysctls: &[],
    greet,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 2,
        interval_s: 1,
        probes: 10,
    },
    behind: None,
};

fn greet(stream: &mut TcpStream) -> io::Result<()> {
    read_until(stream, b"ok\n").map(drop)
}
