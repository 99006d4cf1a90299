//! haproxy: keepalive towards its clients, and what becomes of the server behind it.
//! It must never guard the server's side: only the client's silence may end that.

use std::{io, net::TcpStream};

use super::{Behind, Counts, Keepalive, Program, hear};

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
    keepalive: Keepalive {
        setting: "custom",
        idle_s: 2,
        interval_s: 2,
        probes: 2,
    },
    behind: Some(Behind {
        port: 7712,
        sides: &[
            Counts {
                direction: "outbound",
                counts: &[("resets_sent{tcp_state}", 1), ("deaths{reset_sent}", 1)],
            },
            Counts {
                direction: "inbound",
                counts: &[("resets_received", 1), ("deaths{reset_received}", 1)],
            },
        ],
        kernel: &[("OutRsts", 1), ("TCPAbortOnData", 1), ("EstabResets", 2)],
    }),
};

/// What is behind haproxy speaks first: once it is heard, both sides are connected.
fn greet(stream: &mut TcpStream) -> io::Result<()> {
    hear(stream, b"ok\n").map(drop)
}
