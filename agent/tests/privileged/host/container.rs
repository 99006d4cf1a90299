//! A real container whose peer vanishes: the death is counted for the container's id.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::wait;
use crate::{
    fixtures::{
        agent::AgentProcess,
        cgroup::{self, TestCgroup},
        scrape::{Scrape, json},
    },
    support::{binary::run, skip},
};
use halfopen_lab::{Family, NetnsLifetime, Pair};
use serde_json::{Value, json};

/// The private root in which crun and Python are; `cargo xtask test` makes it.
const ROOT: &str = "HALFOPEN_PROGRAMS_ROOT";

const PORT: u16 = 7_793;

/// What runs in the container: two connections, one of which is probed twice and dies, and one that
/// is probed for long.
const PROGRAM: &str = "
import socket, sys
held = []
for probes in (2, 100):
    it = socket.create_connection(('192.0.2.2', 7793))
    it.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    it.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    it.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    held.append(it)
print('held', flush=True)
sys.stdin.read()
";

/// Runs crun from the private root $1 as a root of its own, with the bundle $2, as container $3. The
/// runtime is shown cgroups v2 alone, as on a host that has nothing else: on one with both versions it
/// would look for controllers in the first. All is gone with the namespaces.
const RUN: &str = r#"
    mount --make-rprivate / && mount --bind "$1" "$1" && mount -t proc proc "$1/proc" &&
    mount -t tmpfs tmpfs "$1/run" && mount -t tmpfs tmpfs "$1/dev" && mount -t tmpfs tmpfs "$1/tmp" || exit
    for device in null zero full random urandom; do
        : > "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device" || exit
    done
    mkdir -p "$1/run/bundle/rootfs" && mount -t sysfs sysfs "$1/sys" &&
    mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup" && mount --bind "$1" "$1/run/bundle/rootfs" &&
    cp "$2/config.json" "$1/run/bundle" || exit
    exec chroot "$1" /usr/bin/crun --root /run/crun --cgroup-manager=cgroupfs run --bundle /run/bundle "$3"
"#;

/// A container; killed with all its processes when dropped.
struct TestContainer(Child);

impl TestContainer {
    /// Runs it in the network of this host, in a cgroup of this path, until it says that it is ready.
    fn run(pair: &Pair, root: &Path, id: &str, cgroup: &str) -> Result<Self, String> {
        let bundle = tempfile::tempdir().unwrap();
        fs::write(
            bundle.path().join("config.json"),
            config(cgroup).to_string(),
        )
        .unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .args([RUN, "sh"])
            .args([root, bundle.path()])
            .arg(id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = pair.client.run(move || command.spawn().unwrap()).unwrap();
        let mut container = Self(child);
        let mut said = String::new();
        let stdout = container.0.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        if said.trim() == "held" {
            return Ok(container);
        }
        let stderr = container.0.stderr.take().unwrap();
        let why = BufReader::new(stderr).lines().map_while(Result::ok);
        Err(why.collect::<Vec<_>>().join(" / "))
    }
}

impl Drop for TestContainer {
    fn drop(&mut self) {
        // The program ends with its input, which the runtime passes on; then the runtime cleans up.
        drop(self.0.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As a runtime above crun writes it (OCI runtime-spec 1.0, config.md); without a network namespace of
/// its own it stays in that of its caller, which is private.
fn config(cgroup: &str) -> Value {
    let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/usr/bin/python3", "-c", PROGRAM],
            "env": ["PATH=/usr/bin"],
            "cwd": "/",
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "cgroupsPath": cgroup, "namespaces": namespaces },
    })
}

/// The root, if all that is needed is in it.
fn root() -> Option<PathBuf> {
    let Some(root) = env::var_os(ROOT) else {
        skip(&format!("{ROOT} is not set: `cargo xtask test` sets it"));
        return None;
    };
    let root = PathBuf::from(root);
    for (name, binary) in [("crun", "usr/bin/crun"), ("gunicorn", "usr/bin/python3")] {
        if let Ok(why) = fs::read_to_string(root.join("missing").join(name)) {
            skip(why.trim());
            return None;
        }
        assert!(root.join(binary).exists(), "{binary} is not in {ROOT}");
    }
    Some(root)
}

#[test]
#[ignore = "needs root"]
fn a_death_is_charged_to_the_container() {
    let (Some(mount_point), Some(root)) = (cgroup::mount_point(), root()) else {
        return;
    };
    // As Docker without systemd does: /docker/ID, below a parent that is nobody else's.
    let slice = TestCgroup::slice(&mount_point, "container");
    let docker = slice.child("docker");
    let id = format!("{:064x}", u128::MAX - u128::from(process::id()));
    let own = docker.child(&id);
    let path = Path::new("/").join(own.path().strip_prefix(&mount_point).unwrap());
    let inode = own.id();
    let pair = Pair::new("contained", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let to = SocketAddr::new(Family::Ipv4.server(), PORT);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let agent = AgentProcess::start(&["--walk-interval", "1s", "--compare-interval", "1s"]);
    let container = match TestContainer::run(&pair, &root, &id, path.to_str().unwrap()) {
        Ok(container) => container,
        Err(why) => return skip(&format!("no container can be run here: {why}")),
    };
    let processes = fs::read_to_string(own.path().join("cgroup.procs")).unwrap();
    assert!(!processes.is_empty(), "the container is where it was put");

    pair.drop_at_server().unwrap();
    let kernel = |counter| pair.client.counters().unwrap().get(counter);
    wait("it dies", || kernel("TCPAbortOnTimeout") == 1);
    let labels = [
        ("owner", id.as_str()),
        ("direction", "outbound"),
        ("port", "7793"),
    ];
    wait("metrics charge it to the container", || {
        let scrape = Scrape::of(&agent);
        let with = |label| [&labels[..], &[label]].concat();
        let deaths = scrape.sum("halfopen_deaths_total", &with(("cause", "keepalive")));
        let suspects = with(("evidence", "keepalive"));
        let suspects = scrape.sum("halfopen_suspect_connections", &suspects);
        let probes = scrape.sum("halfopen_keepalive_probes_total", &labels);
        assert!(deaths <= 1 && probes <= kernel("TCPKeepAlive"));
        deaths == 1 && suspects == 1 && probes >= 2
    });
    let list = run(&["list", "--json", "--all", "dport = :7793"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let mine = list["connections"].as_array().unwrap().iter();
    let mine: Vec<_> = mine.filter(|it| it["owner"] == id.as_str()).collect();
    assert_eq!(mine.len(), 1, "{list:#}");
    assert_eq!(mine[0]["cgroup"], inode);
    drop(container);

    let report = json(&agent, "/api/v1/deaths?filter=dport+%3D+:7793");
    let netns = pair.client.inum().unwrap();
    let deaths = report["deaths"].as_array().unwrap().iter();
    let mut deaths = deaths.filter(|it| it["netns"] == netns && it["cause"] == "keepalive");
    let death = deaths.next().unwrap();
    assert_eq!(death["owner"], id.as_str(), "{death:#}");
    assert_eq!(death["cgroup"], inode, "{death:#}");
    assert!(deaths.next().is_none(), "{report:#}");
}
