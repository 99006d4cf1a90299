//! Who accepted a connection, where that is not who listens; and which processes hold one where cgroups tell
//! no owner.

use std::{
    net::SocketAddr,
    path::Path,
    process::{self, Output},
};

use crate::fixtures::{
    agent::AgentProcess,
    cgroup::{self, TestCgroup},
    player::Player,
    scrape::{Scrape, json},
};
use crate::support::{
    binary::{run, stderr},
    wait,
};
use halfopen::{options::Options, sockets::Reader};
use halfopen_core::model::{
    assessed::{ListOptions, NameProcesses},
    connection::{Connection, Unknown},
    owner::ROOT,
};
use halfopen_lab::{Family, NetnsLifetime, Pair};
use serde_json::Value;

/// Where a listener is handed over, and where it is not.
const HANDED: u16 = 7_798;
const OWN: u16 = 7_799;

fn listed(arguments: &[&str]) -> Vec<Value> {
    let list = run(&[&["list", "--all", "--json"], arguments].concat());
    assert!(list.status.success(), "{}", stderr(&list));
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    list["connections"].as_array().unwrap().clone()
}

fn text(list: &Output) -> String {
    assert!(list.status.success(), "{}", stderr(list));
    String::from_utf8(list.stdout.clone()).unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_certificate_names_who_listens_and_who_accepted() {
    let Some(mount_point) = cgroup::mount_point() else {
        return;
    };
    let [front, back] = [("front", "socket"), ("back", "service")]
        .map(|(name, kind)| format!("{name}-{}.{kind}", process::id()));
    let slice = TestCgroup::slice(&mount_point, "accepted");
    let [front_group, back_group] = [&front, &back].map(|name| slice.child(name));
    let pair = Pair::new("accepted", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = pair.server.inum().unwrap();
    let agent = AgentProcess::start(&["--walk-interval", "1s"]);
    // By fexit alone.
    let hook = [("hook", "inet_csk_accept"), ("mechanism", "fentry")];
    let is_seen = Scrape::of(&agent).sum("halfopen_hook_attached", &hook) == 1;
    let [handed, own] = [HANDED, OWN].map(|port| SocketAddr::new(Family::Ipv4.server(), port));
    let mut server = Player::start(&pair.server);
    server.enter(front_group.path());
    server.tell(&format!("hand {handed} {}", back_group.path().display()));
    server.tell(&format!("guard {own}"));
    let mut client = Player::start(&pair.client);
    client.tell(&format!("open {handed} 1"));
    client.tell(&format!("open {own} 1"));

    let filter = |port: u16| format!("sport = :{port} and state established");
    let accepted = |port| {
        let all = listed(&["--processes", &filter(port)]);
        let mut ours = all.into_iter().filter(|it| it["netns"] == netns);
        ours.next().filter(|it| it["acceptance"] == "accepted")
    };
    for (port, owner) in [(HANDED, &back), (OWN, &front)] {
        wait("it is accepted", || accepted(port).is_some());
        let it = accepted(port).unwrap();
        assert_eq!(it["owner"], front.as_str(), "{it:#}");
        assert_eq!(it["processes"][0]["owner"], owner.as_str(), "{it:#}");
        // The owner is what the filter means, and nothing but that.
        for (pattern, found) in [(&front, 1), (&back, 0)] {
            let by_owner = format!("{} and owner {pattern}", filter(port));
            let list = listed(&[&by_owner]);
            let ours: Vec<_> = list.iter().filter(|it| it["netns"] == netns).collect();
            assert_eq!(ours.len(), found, "{by_owner}: {list:#?}");
            assert!(ours.iter().all(|it| it.get("processes").is_none()));
        }
        let table = text(&run(&["list", "--all", "--processes", &filter(port)]));
        let is_named = table.contains(&format!("@{back}"));
        assert_eq!(is_named, owner == &back, "{table}");
    }

    pair.drop_at_client().unwrap();
    for (port, accepted_by) in [(HANDED, &back), (OWN, &front)] {
        let path = format!("/api/v1/deaths?filter=sport+%3D+:{port}");
        let death = || {
            let report = json(&agent, &path);
            let deaths = report["deaths"].as_array().unwrap().clone();
            deaths.into_iter().find(|it| it["netns"] == netns)
        };
        wait("it dies", || death().is_some());
        let it = death().unwrap();
        assert_eq!(it["cause"], "keepalive", "{it:#}");
        assert_eq!(it["cgroup"], front_group.id(), "{it:#}");
        assert_eq!(it["owner"], front.as_str(), "{it:#}");
        if is_seen {
            assert_eq!(it["accepted_by"], accepted_by.as_str(), "{it:#}");
        } else {
            assert!(it.get("accepted_by").is_none(), "{it:#}");
            assert!(it["unknown"]["accepted_by"].is_string(), "{it:#}");
        }
    }
    // The client's own end was accepted by nobody, and that is no fact that could be unknown.
    let report = json(&agent, "/api/v1/deaths");
    let deaths = report["deaths"].as_array().unwrap().iter();
    let mut outbound = deaths.filter(|it| it["direction"] == "outbound");
    assert!(outbound.all(|it| it.get("accepted_by").is_none() && it["unknown"].get("accepted_by").is_none()));
}

/// The connections of a player, as a list for people reads them.
fn read(netns: u32) -> Vec<Connection> {
    let extent = ListOptions {
        netns: Some(netns),
        most: usize::MAX,
        processes: NameProcesses::WithoutOwners,
    };
    let mut reader = Reader::open(&Options::default()).unwrap();
    reader.list_to(extent, &|_| true).unwrap().connections
}

#[test]
#[ignore = "needs root"]
fn processes_stand_in_where_no_cgroup_tells_an_owner() {
    let Some(mount_point) = cgroup::mount_point() else {
        return;
    };
    let unit = format!("owned-{}.service", process::id());
    let slice = TestCgroup::slice(&mount_point, "unowned");
    let group = slice.child(&unit);
    let pair = Pair::new("unowned", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = u32::try_from(pair.server.inum().unwrap()).unwrap();
    let mut player = Player::start(&pair.server);
    let mut serve = |cgroup: &Path, port: u16| {
        let at = SocketAddr::new(Family::Ipv4.server(), port);
        player.enter(cgroup);
        player.tell(&format!("serve {at}"));
    };
    serve(&mount_point, HANDED);
    let connections = read(netns);
    assert_eq!(connections.len(), 1);
    for connection in &connections {
        // It is no owner for all that, as it is none in metrics and certificates.
        assert_eq!(connection.owner.as_deref(), Ok(ROOT));
        let holders = connection.processes.as_deref().unwrap();
        assert_eq!(holders.len(), 1);
        assert_eq!(holders[0].owner.as_deref(), Ok(ROOT));
    }
    let filter = format!("sport = :{HANDED}");
    for root in [&["--processes", &filter][..], &[&filter]] {
        let list = listed(root);
        let ours = list.iter().find(|it| it["netns"] == netns).unwrap();
        assert_eq!(ours["owner"], ROOT);
        let is_asked = root.len() > 1;
        assert_eq!(ours.get("processes").is_some(), is_asked, "{ours:#}");
    }

    serve(group.path(), OWN);
    let connections = read(netns);
    let mut owners: Vec<_> = connections
        .iter()
        .map(|it| it.owner.clone().unwrap().to_string())
        .collect();
    owners.sort();
    assert_eq!(owners, [ROOT, &unit]);
    let mut processes = connections.iter().map(|it| &it.processes);
    assert!(processes.all(|it| *it == Err(Unknown::NotAskedFor)));
}
