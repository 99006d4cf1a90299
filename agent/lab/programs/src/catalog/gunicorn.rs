//! gunicorn: it has no TCP keepalive of its own; a hook sets it on the listeners.

use crate::{
    greeting::ask_for_page,
    program::{KeepaliveConfig, Program},
};

/// An accepted socket inherits its listener's keepalive (tcp(7), socket(7); tcp_create_openreq_child()
/// copies the socket). `when_ready` runs before any worker is there (settings, server hooks).
const CONFIGURATION: &str = "\
import socket

bind = '192.0.2.2:@PORT@'
worker_class = 'gthread'
workers = 1
threads = 2
keepalive = 3600
worker_tmp_dir = '/tmp'


def when_ready(server):
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4)
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
";

const APPLICATION: &str = "\
def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '3')])
    return [b'ok\\n']
";

pub(super) const GUNICORN: Program = Program {
    name: "gunicorn",
    port: 7707,
    binary: "usr/bin/gunicorn",
    user: "root",
    files: &[("gunicorn.conf.py", CONFIGURATION), ("app.py", APPLICATION)],
    script: "exec gunicorn --config /run/gunicorn.conf.py --chdir /run app",
    sysctls: &[],
    greet: ask_for_page,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 4,
        interval_s: 1,
        probes: 2,
    },
    behind: None,
};
