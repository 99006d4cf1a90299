//! Redis: one number sets all of keepalive.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use crate::{
    greeting::read_until,
    program::{KeepaliveConfig, Program},
};

/// `tcp-keepalive N` (redis.conf): the first probe after N seconds; a third of that between probes,
/// and three of them, so that twice N passes before a dead peer is closed (anetKeepAlive() in anet.c).
const CONFIGURATION: &str = "\
port @PORT@
bind 192.0.2.2
protected-mode no
dir /run
save \"\"
tcp-keepalive 6
";

pub(super) const REDIS: Program = Program {
    name: "redis",
    port: 7704,
    binary: "usr/bin/redis-server",
    user: "root",
    files: &[("redis.conf", CONFIGURATION)],
    script: "exec redis-server /run/redis.conf",
    sysctls: &[],
    greet,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 6,
        interval_s: 2,
        probes: 3,
    },
    behind: None,
};

fn greet(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"PING\r\n")?;
    read_until(stream, b"+PONG\r\n").map(drop)
}
