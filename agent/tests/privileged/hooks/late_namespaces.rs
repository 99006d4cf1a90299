//! Network namespaces that the agent finds late or not at all: held by a descriptor, by a mount elsewhere, by
//! a process that has ended. What happened in them meanwhile is uncompared; nothing is missed.
//!
//! A socket made in a namespace stays there, and connects from any thread: so resets happen where no
//! process is.

use std::{
    fs::File,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsRawFd as _,
    path::Path,
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    fixtures::{
        agent::AgentProcess,
        network::{enter_private, kernel_counter},
        scrape::Scrape,
    },
    support::wait,
};
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Socket, Type};

/// Nobody listens there: each attempt is answered by a reset.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7_001);

/// Resets in each namespace: before the hooks are there, before the agent can enter it, and after.
const PAST: u64 = 300;
const HIDDEN: u64 = 50;
const SEEN: u64 = 20;

/// The agent compares ten times a second: so long, nothing new may be found.
const ROUNDS: Duration = Duration::from_secs(1);

/// A namespace that no process is in.
struct Held {
    descriptor: File,
    socket: Socket,
}

impl Held {
    fn new() -> Self {
        let make = || {
            enter_private();
            Self {
                descriptor: File::open("/proc/thread-self/ns/net").unwrap(),
                socket: Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(),
            }
        };
        thread::spawn(make).join().unwrap()
    }

    /// With resets that the hooks of a later agent cannot know.
    fn with_past() -> Self {
        let held = Self::new();
        held.reset(PAST);
        held
    }

    fn reset(&self, times: u64) {
        for _ in 0..times {
            let error = self.socket.connect(&NOBODY.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    }

    /// Where others find it for as long as the descriptor is open.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.descriptor.as_raw_fd())
    }

    /// What the kernel counted there.
    fn resets(&self) -> u64 {
        let read = || {
            setns(&self.descriptor, CloneFlags::CLONE_NEWNET).unwrap();
            kernel_counter("OutRsts")
        };
        thread::scope(|scope| scope.spawn(read).join().unwrap())
    }
}

/// A process that sleeps until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    /// Started by this command, which says `ready`.
    fn start(command: &[&str]) -> Self {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let sleeper = Self(child);
        assert_eq!(line, "ready\n", "{command:?}");
        sleeper
    }

    fn inside(namespace: &str) -> Self {
        let net = format!("--net={namespace}");
        Self::start(&["nsenter", &net, "sh", "-c", "echo ready; exec sleep 1000"])
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace mounted where the agent finds it.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(namespace: &str, point: &'a Path) -> Self {
        File::create(point).unwrap();
        let mount = Command::new("mount")
            .args(["--bind", namespace])
            .arg(point)
            .status();
        assert!(mount.unwrap().success());
        Self(point)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// The host's balance of resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    kernel: u64,
    hooks: u64,
    unaccounted: u64,
    overcounted: u64,
    uncompared: u64,
    namespaces: u64,
}

impl Shown {
    fn by(agent: &AgentProcess) -> Self {
        let scrape = Scrape::of(agent);
        let figure = |name: &str| {
            let name = format!("halfopen_{name}_total");
            let known = scrape.0.keys().any(|(shown, _)| *shown == name);
            assert!(known, "{name} is not shown");
            scrape.sum(&name, &[("counter", "OutRsts")])
        };
        let shown = Self {
            kernel: figure("kernel_events"),
            hooks: figure("hook_events"),
            unaccounted: figure("unaccounted_events"),
            overcounted: figure("overcounted_events"),
            uncompared: figure("uncompared"),
            namespaces: scrape.sum("halfopen_network_namespaces", &[("seen", "yes")]),
        };
        let wrong = (shown.unaccounted, shown.overcounted);
        assert_eq!(wrong, (0, 0), "{shown:?}");
        assert_eq!(shown.kernel, shown.hooks, "{shown:?}");
        shown
    }

    /// Waits for a balance of which this is so, and then whether it stays so.
    fn wait(agent: &AgentProcess, what: &str, is_so: impl Fn(&Self) -> bool) -> Self {
        let mut last = Self::by(agent);
        wait(what, || {
            last = Self::by(agent);
            is_so(&last)
        });
        thread::sleep(ROUNDS);
        let now = Self::by(agent);
        assert!(is_so(&now), "{what}: {last:?}, then {now:?}");
        now
    }
}

#[test]
#[ignore = "needs root"]
fn what_happened_before_a_namespace_is_found_is_uncompared() {
    enter_private();
    let old = Held::with_past();
    let mounted_later = Held::with_past();
    let elsewhere = Held::with_past();
    // The holder is not in it.
    let script = "mount -t tmpfs none /mnt; : > /mnt/net; mount --bind $0 /mnt/net; echo ready; exec sleep 1000";
    let holder = Sleeper::start(&["unshare", "--mount", "sh", "-ec", script, &elsewhere.path()]);

    let agent = AgentProcess::start(&["--compare-interval", "100ms"]);
    let start = Shown::by(&agent);
    let young = Held::new();
    let all = [&old, &mounted_later, &elsewhere, &young];
    all.iter().for_each(|held| held.reset(HIDDEN));
    let hidden = start.uncompared + HIDDEN * 4;
    let before = Shown::wait(
        &agent,
        "resets in hidden namespaces are uncompared",
        |shown| shown.uncompared == hidden,
    );

    // Found, each in its way; nothing was missed.
    let directory = tempfile::tempdir().unwrap();
    let point = directory.path().join("net");
    let in_holder = [
        &format!("--mount={}", holder.proc("ns/mnt")),
        "nsenter",
        "--net=/mnt/net",
    ];
    let sleep = ["sh", "-c", "echo ready; exec sleep 1000"];
    let _inside = [
        Sleeper::inside(&old.path()),
        Sleeper::inside(&young.path()),
        Sleeper::start(&[&["nsenter"], &in_holder[..], &sleep].concat()),
    ];
    let _mounted = Mounted::new(&mounted_later.path(), &point);
    let found = Shown::wait(&agent, "they are found", |shown| {
        shown.namespaces >= before.namespaces + 4
    });
    assert_eq!(found.uncompared, hidden);

    // From here on they are compared.
    all.iter().for_each(|held| held.reset(SEEN));
    let compared = Shown::wait(&agent, "resets are compared", |shown| {
        shown.kernel >= found.kernel + SEEN * 4
    });
    assert_eq!(compared.uncompared, hidden);

    for (held, past) in all.into_iter().zip([PAST, PAST, PAST, 0]) {
        assert_eq!(held.resets(), past + HIDDEN + SEEN);
    }
}

/// It may end before the agent has read it, or has read all of it.
#[test]
#[ignore = "needs root"]
fn what_happens_in_short_lived_namespaces_is_compared_or_uncompared() {
    const LIVES: u64 = 5;
    enter_private();
    let agent = AgentProcess::start(&["--compare-interval", "100ms"]);
    let start = Shown::by(&agent);
    let script = format!(
        "ip link set lo up; for i in {{1..{SEEN}}}; do (: > /dev/tcp/{}/{}) 2> /dev/null || true; done; \
         sed -n 's/^Tcp: [0-9].* \\([0-9]*\\) [0-9]*$/\\1/p' /proc/self/net/snmp",
        NOBODY.ip(),
        NOBODY.port()
    );
    for _ in 0..LIVES {
        let life = Command::new("unshare")
            .args(["--net", "bash", "-ec", &script])
            .output()
            .unwrap();
        let resets = String::from_utf8(life.stdout).unwrap();
        assert_eq!(resets.trim().parse(), Ok(SEEN), "resets that it counted");
    }
    let sum = |shown: &Shown| shown.hooks + shown.uncompared;
    Shown::wait(&agent, "all resets are found", |shown| {
        sum(shown) >= sum(&start) + LIVES * SEEN
    });
}
