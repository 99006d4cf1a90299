//! PostgreSQL: three settings, one for each of keepalive's.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::program::{KeepaliveConfig, Program};

/// Whoever says this name is let in.
const USER: &str = "postgres";

/// `tcp_keepalives_idle`, `_interval`, `_count` (server configuration, 20.3.2), in seconds.
const CONFIGURATION: &str = "\
port = @PORT@
listen_addresses = '192.0.2.2'
unix_socket_directories = ''
fsync = off
tcp_keepalives_idle = 3
tcp_keepalives_interval = 2
tcp_keepalives_count = 2
";

const WHO_MAY: &str = "host all all 192.0.2.1/32 trust\n";

pub(super) const POSTGRESQL: Program = Program {
    name: "postgresql",
    port: 7705,
    binary: "usr/lib/postgresql/15/bin/postgres",
    user: USER,
    files: &[("postgresql.conf", CONFIGURATION), ("pg_hba.conf", WHO_MAY)],
    script: "initdb --pgdata=/run/cluster --no-sync --auth=trust --locale=C >/dev/null && \
             exec postgres -D /run/cluster -c config_file=/run/postgresql.conf \
             -c hba_file=/run/pg_hba.conf",
    sysctls: &[],
    greet,
    keepalive: KeepaliveConfig {
        setting: "custom",
        idle_s: 3,
        interval_s: 2,
        probes: 2,
    },
    behind: None,
};

/// StartupMessage of protocol 3.0, then everything up to ReadyForQuery (protocol, 55.2.1 and 55.7).
fn greet(stream: &mut TcpStream) -> io::Result<()> {
    let mut startup = Vec::from(196_608_u32.to_be_bytes());
    startup.extend(b"user\0");
    startup.extend(USER.as_bytes());
    startup.extend(b"\0database\0postgres\0\0");
    let length = u32::try_from(startup.len() + 4).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&startup)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
        let mut message = Vec::new();
        stream.take(length).read_to_end(&mut message)?;
        match kind {
            b'Z' => return Ok(()),
            b'E' => {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&message).into_owned(),
                ));
            }
            _ => {}
        }
    }
}
