//! Cgroups that are mounted after the agent has started, and mounted elsewhere: owners follow, and no figure
//! goes backwards or stands in two places.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{self, Command},
    thread,
};

use crate::fixtures::{
    agent::AgentProcess,
    cgroup::{self, TestCgroup},
    player::Player,
    scrape::{Scrape, SeriesId, json},
};
use crate::support::{binary::PATH, wait};
use halfopen_lab::{Family, NetnsLifetime, Pair};
use serde_json::Value;

/// Where somebody listens, and where nobody does.
const OPEN: u16 = 7_801;
const CLOSED: u16 = 7_802;

/// Becomes the agent where no cgroups v2 are mounted; other processes keep theirs.
const WITHOUT: &str = r#"
    sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - cgroup2 .*/\1/p' /proc/self/mountinfo |
        while read -r point; do umount --lazy "$point" || exit; done
    exec "$0" "$@"
"#;

/// Runs a command where the agent's mounts are.
fn at_the_agent(agent: &AgentProcess, command: &[&str]) {
    let namespace = format!("--mount=/proc/{}/ns/mnt", agent.id());
    let status = Command::new("nsenter")
        .arg(namespace)
        .args(command)
        .status();
    assert!(status.unwrap().success(), "{command:?}");
}

/// What an agent has shown, which must not go backwards.
#[derive(Default)]
struct Shown(BTreeMap<SeriesId, f64>);

impl Shown {
    fn scrape(&mut self, agent: &AgentProcess) -> Scrape {
        let scrape = Scrape::of(agent);
        let counters = scrape
            .0
            .iter()
            .filter(|((name, labels), _)| name.ends_with("_total") && labels.contains_key("owner"));
        for (series, value) in counters {
            let before = self.0.insert(series.clone(), *value).unwrap_or_default();
            assert!(before <= *value, "{series:?}: {before}, then {value}");
        }
        let gone = self.0.keys().find(|series| !scrape.0.contains_key(*series));
        assert_eq!(gone, None);
        scrape
    }
}

/// The deaths of refused connects by owner; all of them together are never more than there were.
fn refused(shown: &mut Shown, agent: &AgentProcess, owner: &str, all: u64) -> u64 {
    let scrape = shown.scrape(agent);
    let deaths = |labels: &[(&str, &str)]| {
        let port = [("port", "7802"), ("cause", "refused")];
        scrape.sum("halfopen_deaths_total", &[&port[..], labels].concat())
    };
    assert!(deaths(&[]) <= all);
    deaths(&[("owner", owner)])
}

fn connection(agent: &AgentProcess, netns: u64) -> Value {
    let report = json(agent, "/api/v1/connections?all&filter=dport+%3D+:7801");
    let all = report["connections"].as_array().unwrap();
    let ours = all.iter().find(|it| it["netns"] == netns);
    ours.cloned().unwrap_or_default()
}

#[test]
#[ignore = "needs root"]
fn owners_follow_the_mounts() {
    let Some(mount_point) = cgroup::mount_point() else {
        return;
    };
    let [web, db] = ["late", "later"].map(|name| format!("{name}-{}.service", process::id()));
    let slice = TestCgroup::slice(&mount_point, "late");
    let [web_group, db_group] = [&web, &db].map(|name| slice.child(name));
    let pair = Pair::new("late", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = pair.client.inum().unwrap();
    let to = SocketAddr::new(Family::Ipv4.server(), OPEN);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let by = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        WITHOUT,
        PATH,
    ];
    let agent = AgentProcess::start_by(&by, &["--walk-interval", "1s"]);
    let mut shown = Shown::default();

    let mut player = Player::start(&pair.client);
    player.enter(web_group.path());
    player.tell(&format!("hold {to} 1 100"));
    let refuse = |player: &mut Player, times: u32| {
        let nobody = SocketAddr::new(Family::Ipv4.server(), CLOSED);
        player.tell(&format!("refused {nobody} {times}"));
    };
    refuse(&mut player, 2);
    wait("two deaths of nobody", || {
        refused(&mut shown, &agent, "unknown", 2) == 2
    });
    wait("a list that knows no owner", || {
        connection(&agent, netns)["state"] == "established"
    });
    let it = connection(&agent, netns);
    assert!(
        it["owner"].is_null() && it.get("processes").is_none(),
        "{it:#}"
    );
    assert!(
        it["unknown"]["owner"].as_str().unwrap().contains("mounted"),
        "{it:#}"
    );

    let labels = |owner| {
        [
            ("owner", owner),
            ("direction", "outbound"),
            ("port", "7801"),
        ]
    };
    let probes =
        |scrape: &Scrape, owner| scrape.sum("halfopen_keepalive_probes_total", &labels(owner));
    wait("probes of nobody", || {
        probes(&shown.scrape(&agent), "unknown") > 1
    });

    let point = mount_point.to_str().unwrap();
    at_the_agent(&agent, &["mount", "-t", "cgroup2", "none", point]);
    wait("lists name the owner", || {
        shown.scrape(&agent);
        connection(&agent, netns)["owner"] == web.as_str()
    });
    refuse(&mut player, 3);
    wait("three deaths of the owner", || {
        refused(&mut shown, &agent, &web, 5) == 3
    });
    assert_eq!(
        refused(&mut shown, &agent, "unknown", 5),
        2,
        "they stay where they were counted"
    );
    wait(
        "probes go on under the owner, and all together are the kernel's",
        || {
            let scrape = shown.scrape(&agent);
            let (before, after) = (probes(&scrape, "unknown"), probes(&scrape, &web));
            let truth = pair.client.counters().unwrap().get("TCPKeepAlive");
            assert!(before + after <= truth, "{before} and {after} of {truth}");
            let counter = [("counter", "TCPKeepAlive")];
            let missed = scrape.sum("halfopen_unaccounted_events_total", &counter);
            after > 1 && before + after + missed >= truth
        },
    );
    wait("a walk has found the owner", || {
        let scrape = shown.scrape(&agent);
        let connections = |owner| scrape.sum("halfopen_connections", &labels(owner));
        (connections("unknown"), connections(&web)) == (0, 1)
    });

    // Elsewhere, while the first is not there any more.
    at_the_agent(&agent, &["umount", "--lazy", point]);
    let elsewhere = tempfile::tempdir().unwrap();
    let point = elsewhere.path().to_str().unwrap();
    at_the_agent(&agent, &["mount", "-t", "cgroup2", "none", point]);
    player.enter(db_group.path());
    // Looked at once a second, while it is asked for somebody new.
    wait("one who is new has a name", || {
        let before = kernel_refused(&pair);
        refuse(&mut player, 1);
        assert_eq!(kernel_refused(&pair), before + 1);
        refused(&mut shown, &agent, &db, u64::MAX) > 0
    });
    assert_eq!(connection(&agent, netns)["owner"], web.as_str());
    assert_eq!(refused(&mut shown, &agent, &web, u64::MAX), 3);
    assert!(Path::new("/proc").join(agent.id().to_string()).exists());
}

/// Connects that were refused, as the client's kernel counts them.
fn kernel_refused(pair: &Pair) -> u64 {
    pair.client.counters().unwrap().get("AttemptFails")
}
