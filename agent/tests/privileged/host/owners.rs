//! Real cgroups whose connections die: everything the agent shows of them names their owner.

use std::{
    net::{SocketAddr, TcpListener},
    process, thread,
};

use crate::support::wait;
use crate::{
    fixtures::{
        agent::AgentProcess,
        cgroup::{self, TestCgroup},
        player::Player,
        scrape::{Scrape, json},
    },
    support::binary::{run, stderr},
};
use halfopen_lab::{Family, Host, NetnsLifetime, Pair};
use serde_json::Value;

/// A server that accepts, and says nothing.
fn listen(pair: &Pair, port: u16) -> SocketAddr {
    let to = SocketAddr::new(Family::Ipv4.server(), port);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    thread::spawn(move || {
        let accepted: Vec<_> = listener.incoming().collect();
        drop(accepted);
    });
    to
}

/// What this host's kernel counted.
fn kernel(host: &Host, counter: &str) -> u64 {
    host.counters().unwrap().get(counter)
}

/// Whether the agent's count is the truth, or short of it by no more than it says that it missed. It is
/// never more, however early it is asked.
fn agrees(counted: u64, truth: u64, scrape: &Scrape, counter: &str) -> bool {
    assert!(counted <= truth, "{counter}: {counted} of {truth}");
    counted + scrape.sum("halfopen_unaccounted_events_total", &[("counter", counter)]) >= truth
}

/// The certificates of one owner in one network namespace.
fn certificates(agent: &AgentProcess, owner: &str, netns: u64) -> Vec<Value> {
    let report = json(agent, "/api/v1/deaths?limit=10000");
    let all = report["deaths"].as_array().unwrap().iter();
    let all = all.filter(|it| it["owner"] == owner && it["netns"] == netns);
    all.cloned().collect()
}

/// The connections of a list that are one owner's.
fn listed(report: &Value, owner: &str) -> Vec<Value> {
    let all = report["connections"].as_array().unwrap().iter();
    all.filter(|it| it["owner"] == owner).cloned().collect()
}

const PORT: u16 = 7_791;

#[test]
#[ignore = "needs root"]
fn a_unit_is_named_in_all_that_is_shown_and_after_it_is_gone() {
    let Some(mount_point) = cgroup::mount_point() else {
        return;
    };
    let [web, db] = ["web", "db"].map(|name| format!("{name}-{}.service", process::id()));
    let slice = TestCgroup::slice(&mount_point, "owners");
    let [web_group, db_group] = [&web, &db].map(|name| slice.child(name));
    let (web_id, db_id) = (web_group.id(), db_group.id());
    let pair = Pair::new("owners", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    pair.client.sysctl("ipv4/tcp_orphan_retries", "2").unwrap();
    let netns = pair.client.inum().unwrap();
    let to = listen(&pair, PORT);
    let agent = AgentProcess::start(&["--walk-interval", "1s", "--compare-interval", "1s"]);
    let mut player = Player::start(&pair.client);

    // One that is probed for long, and those that die soon.
    player.enter(web_group.path());
    player.tell(&format!("hold {to} 1 100"));
    player.tell(&format!("hold {to} 3 2"));
    player.enter(db_group.path());
    player.tell(&format!("hold {to} 2 2"));
    player.enter(&mount_point);
    let of = |owner| {
        [
            ("owner", owner),
            ("direction", "outbound"),
            ("port", "7791"),
        ]
    };
    let established = |scrape: &Scrape, owner| {
        let labels = [&of(owner)[..], &[("state", "established")]].concat();
        scrape.sum("halfopen_connections", &labels)
    };
    wait("a walk has met all connections", || {
        let scrape = Scrape::of(&agent);
        (established(&scrape, &web), established(&scrape, &db)) == (4, 2)
    });
    db_group.remove();

    pair.drop_at_server().unwrap();
    wait("five connections die", || {
        kernel(&pair.client, "TCPAbortOnTimeout") == 5
    });
    let deaths = |scrape: &Scrape, owner, cause| {
        let labels = [&of(owner)[..], &[("cause", cause)]].concat();
        scrape.sum("halfopen_deaths_total", &labels)
    };
    let probes = |scrape: &Scrape, owner| scrape.sum("halfopen_keepalive_probes_total", &of(owner));
    wait("deaths and probes are counted by owner", || {
        let scrape = Scrape::of(&agent);
        let died = [(&web, 3), (&db, 2)].into_iter().all(|(owner, died)| {
            let counted = deaths(&scrape, owner, "keepalive");
            assert!(probes(&scrape, owner) >= 2 * counted, "two each");
            agrees(counted, died, &scrape, "TCPAbortOnTimeout")
        });
        // One goes on being probed: what is asked for later is no less.
        let all = probes(&scrape, &web) + probes(&scrape, &db);
        died && agrees(
            all,
            kernel(&pair.client, "TCPKeepAlive"),
            &scrape,
            "TCPKeepAlive",
        )
    });
    let labels = [&of(&web)[..], &[("evidence", "keepalive")]].concat();
    wait("the one that is left is the one suspect", || {
        Scrape::of(&agent).sum("halfopen_suspect_connections", &labels) == 1
    });

    // The one that is left, told by the kernel and by the agent.
    let filter = ["list", "--json", "--all", "dport = :7791"];
    let list = run(&filter);
    assert!(list.status.success(), "{}", stderr(&list));
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let asked = json(&agent, "/api/v1/connections?filter=dport+%3D+:7791");
    for (from, report) in [("list", &list), ("api", &asked)] {
        let mine = listed(report, &web);
        assert_eq!(mine.len(), 1, "{from}: {report:#}");
        assert_eq!(mine[0]["cgroup"], web_id, "{from}: {report:#}");
        assert_eq!(mine[0]["evidence"], "keepalive", "{from}: {report:#}");
    }
    for (owner, cgroup, died) in [(&web, web_id, 3), (&db, db_id, 2)] {
        wait("certificates come a moment after the counts", || {
            certificates(&agent, owner, netns).len() == died
        });
        let actual = certificates(&agent, owner, netns);
        let mut died_so = actual.iter().filter(|it| it["cause"] == "keepalive");
        assert!(died_so.all(|it| it["cgroup"] == cgroup), "{actual:#?}");
    }

    // Closed after its cgroup is gone, the last one dies with nobody to hold it.
    web_group.remove();
    player.tell("close first");
    wait("the orphan dies", || {
        kernel(&pair.client, "TCPAbortOnTimeout") == 6
    });
    wait("the orphan is counted", || {
        let scrape = Scrape::of(&agent);
        let counted = deaths(&scrape, &web, "orphan");
        agrees(counted, 1, &scrape, "TCPAbortOnTimeout")
    });
    // Certificates come a moment after the counts, through the ring buffer.
    wait("the orphan's certificate", || {
        certificates(&agent, &web, netns).len() == 4
    });
    let actual = certificates(&agent, &web, netns);
    let last = actual.iter().max_by_key(|it| it["number"].as_u64());
    let last = last.unwrap();
    assert_eq!(last["cause"], "orphan", "{last:#}");
    assert_eq!(last["orphaned"], true, "{last:#}");
    assert_eq!(last["cgroup"], web_id, "{last:#}");
}
