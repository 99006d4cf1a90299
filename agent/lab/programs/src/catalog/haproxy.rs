//! haproxy: keepalive towards its clients, and what becomes of the server behind it.

use std::{io, net::TcpStream};

use crate::{
    greeting::read_until,
    program::{Backend, ExpectedCounts, KeepaliveConfig, Program},
};

/// `option clitcpka`, `clitcpka-idle`, `clitcpka-intvl`, `clitcpka-cnt` (configuration manual, 4.2).
const CONFIGURATION: &str = "\
defaults
    mode tcp
    timeout connect 1m
    timeout client 1h
    timeout server 1h
listen lab
    bind 192.0.2.2:@PORT@
    option clitcpka
    clitcpka-idle 2s
    clitcpka-intvl 2s
    clitcpka-cnt 2
    server behind 127.0.0.1:@BEHIND@
";

/// A client that fails in reading, as one does that keepalive gave up, lets haproxy close the server's
/// side without lingering (process_stream() in stream.c): with SO_LINGER 0, which is a reset. The
/// kernel counts the one that is sent as TCPAbortOnData, and both ends of that connection as reset.
pub(super) const HAPROXY: Program = Program {
    name: "haproxy",
    port: 7702,
    binary: "usr/sbin/haproxy",
    user: "root",
    files: &[("haproxy.cfg", CONFIGURATION)],
    script: "exec haproxy -db -f /run/haproxy.cfg",
    sysctls: &[],
    greet,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 2,
        interval_s: 2,
        probes: 2,
    },
    behind: Some(Backend {
        port: 7712,
        sides: &[
            ExpectedCounts {
                direction: "outbound",
                counts: &[("resets_sent{tcp_state}", 1), ("deaths{reset_sent}", 1)],
            },
            ExpectedCounts {
                direction: "inbound",
                counts: &[("resets_received", 1), ("deaths{reset_received}", 1)],
            },
        ],
        kernel: &[("OutRsts", 1), ("TCPAbortOnData", 1), ("EstabResets", 2)],
    }),
};

/// The server behind haproxy sends first: after its line both sides are connected.
fn greet(stream: &mut TcpStream) -> io::Result<()> {
    read_until(stream, b"ok\n").map(drop)
}
