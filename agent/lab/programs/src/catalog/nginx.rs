//! nginx: its `listen` directive has keepalive settings of its own.

use crate::{
    greeting::ask_for_page,
    program::{KeepaliveConfig, Program},
};

/// `so_keepalive=keepidle:keepintvl:keepcnt` (ngx_http_core_module, `listen`).
const CONFIGURATION: &str = "\
daemon off;
master_process off;
pid /run/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path /run/body;
    proxy_temp_path /run/proxy;
    fastcgi_temp_path /run/fastcgi;
    uwsgi_temp_path /run/uwsgi;
    scgi_temp_path /run/scgi;
    keepalive_timeout 1h;
    server {
        listen @PORT@ so_keepalive=3s:1s:3;
        return 200 \"ok\\n\";
    }
}
";

pub(crate) const NGINX: Program = Program {
    name: "nginx",
    port: 7701,
    binary: "usr/sbin/nginx",
    user: "root",
    files: &[("nginx.conf", CONFIGURATION)],
    script: "exec nginx -e stderr -c /run/nginx.conf",
    sysctls: &[],
    greet: ask_for_page,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 3,
        interval_s: 1,
        probes: 3,
    },
    behind: None,
};
