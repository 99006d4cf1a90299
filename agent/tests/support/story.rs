//! Two minutes in the life of a host, as dashboards and alerts are to tell them: a database vanishes
//! and comes back, a server forgets to close, clients reset, and the database vanishes once more.
//! It must never send a packet out of its own namespaces.

use std::{
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::{Family, NetnsLifetime, Pair};

use crate::cgroup::{Made, Player};

/// Where the database listens, where the gateway does, and where nobody does.
pub const DATABASE: u16 = 5_432;
pub const GATEWAY: u16 = 443;
const NOBODY: u16 = 6_379;

/// Connections of `checkout.service`, all of which die by keepalive.
pub const CHECKOUT: u64 = 40;
/// Connections of `reports.service`, whose dead peer nothing finds.
pub const REPORTS: u64 = 25;
/// Connections of `mailer.service`, which die by retransmission.
pub const MAILER: u64 = 12;
/// Connections of `search.service`, which are probed for long and recover.
pub const SEARCH: u64 = 8;
/// Connections that `gateway.service` leaks.
pub const LEAKED: u64 = 20;
/// Connections of the gateway that its clients reset.
pub const RESET: u64 = 15;

/// From when on silence means something, for an agent that watches.
pub const FLAGS: [&str; 6] = [
    "--idle-threshold",
    "15s",
    "--close-wait-threshold",
    "15s",
    "--compare-interval",
    "1s",
];

/// Plays it: with a healthy beginning, for whoever records it from before.
pub fn play(mount_point: &Path) {
    let slice = Made::slice(mount_point, "story");
    let began = Instant::now();
    let until = |second: u64| {
        let due = began + Duration::from_secs(second);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    };
    let application = Pair::new("story", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let edge = Pair::new("edge", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    // Data into silence is given up after some ten seconds.
    application.client.sysctl("ipv4/tcp_retries2", "5").unwrap();
    let server = |port| SocketAddr::new(Family::Ipv4.server(), port);
    let (database, gateway) = (server(DATABASE), server(GATEWAY));

    let owners = [
        ("postgresql.service", &application.server),
        ("checkout.service", &application.client),
        ("reports.service", &application.client),
        ("mailer.service", &application.client),
        ("search.service", &application.client),
        ("gateway.service", &edge.server),
        ("browsers.service", &edge.client),
    ];
    let cgroups = owners.map(|(name, _)| slice.child(name));
    let mut players = owners.map(|(_, host)| Player::start(host));
    for (player, cgroup) in players.iter_mut().zip(&cgroups) {
        player.enter(cgroup.path());
    }
    let [
        postgresql,
        checkout,
        reports,
        mailer,
        search,
        gate,
        browsers,
    ] = &mut players;
    postgresql.tell(&format!("serve {database}"));
    gate.tell(&format!("serve {gateway}"));
    checkout.tell(&format!("hold {database} {CHECKOUT} 12"));
    reports.tell(&format!("open {database} {REPORTS}"));
    mailer.tell(&format!("open {database} {MAILER}"));
    search.tell(&format!("hold {database} {SEARCH} 100"));
    browsers.tell(&format!("open {gateway} {LEAKED}"));

    until(25);
    application.drop_at_server().unwrap();
    mailer.tell("write");
    until(45);
    browsers.tell("close all");
    until(60);
    for _ in 0..RESET {
        browsers.tell(&format!("reset {gateway} 1"));
        thread::sleep(Duration::from_millis(500));
    }
    until(75);
    application.restore_server().unwrap();
    until(80);
    checkout.tell(&format!("hold {database} {CHECKOUT} 100"));
    checkout.tell(&format!("refused {} 5", server(NOBODY)));
    until(88);
    application.drop_at_server().unwrap();
    until(100);
}
