//! The self-test as a person runs it: what it reports as wrong, and what it leaves behind.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::LIMIT;
use crate::support::binary::halfopen;
use rustix::process::{Pid, Signal, kill_process};

/// What a lab could leave on the host: devices, mounts, and network namespaces that some thread is in.
fn host() -> [BTreeSet<String>; 3] {
    let names = |path: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(path).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_labs = mounts.lines().filter(|line| line.contains("halfopen"));
    let files = names("/run")
        .into_iter()
        .filter(|name| name.contains("halfopen"));
    let namespaces = names("/proc")
        .into_iter()
        .filter_map(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).ok())
        .map(|link| link.to_string_lossy().into_owned());
    [
        names("/sys/class/net"),
        of_labs.map(str::to_owned).chain(files).collect(),
        namespaces.collect(),
    ]
}

/// Waits until the host is what it was: the kernel takes a namespace apart after its end.
fn is_again(before: &[BTreeSet<String>; 3]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = host();
        if now == *before {
            return;
        }
        assert!(Instant::now() < deadline, "{before:#?} became {now:#?}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs root"]
fn a_falsified_expectation_fails_with_a_clear_difference() {
    let before = host();
    // Too low, which no mechanism may excuse.
    let falsified = [
        "18 outbound deaths{reset_sent}=0",
        "18 inbound resets_received=0",
    ];
    let arguments = [
        "selftest",
        "--scenario",
        "17,18",
        "--falsify",
        falsified[0],
        "--falsify",
        falsified[1],
    ];
    let output = halfopen(&arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let failed: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("FAILED"))
        .collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(failed[0].starts_with("FAILED 18 ipv4: "), "{said}");
    for difference in [
        "outbound deaths{reset_sent}: 1 counted, 0 expected",
        "inbound resets_received: 1 counted, 0 expected",
    ] {
        assert!(failed[0].contains(difference), "{difference}: {said}");
    }
    // The other scenario, the totals and the sockets hold.
    assert!(said.ends_with("3 passed, 1 failed\n"), "{said}");
    is_again(&before);
}

/// TCP sockets of the whole host: of the kernel's own figures, those that are one for all network
/// namespaces (`orphan`, which no process holds any more, and `alloc`).
fn sockets(which: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let mut words = line.split_whitespace();
    words.find(|word| *word == which).unwrap();
    words.next().unwrap().parse().unwrap()
}

struct SelftestProcess(Child);

impl Drop for SelftestProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root"]
fn an_interrupted_one_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let (before, orphans_before) = (host(), sockets("orphan"));
        let sockets_before = sockets("alloc");
        let mut child = halfopen(&["selftest"]);
        child.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = SelftestProcess(child.spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        // Once there are mounts and namespaces, and sockets in them: in the midst of it.
        while host()[1] == before[1] || sockets("alloc") < sockets_before + 50 {
            assert!(Instant::now() < deadline, "it does not begin");
            assert_eq!(child.0.try_wait().unwrap(), None, "it ended by itself");
            thread::sleep(Duration::from_millis(50));
        }
        kill_process(Pid::from_child(&child.0), signal).unwrap();
        let status = child.0.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{signal:?}");
        is_again(&before);
        // One that is left would live for minutes, and its namespace with it.
        let deadline = Instant::now() + Duration::from_secs(30);
        while sockets("orphan") > orphans_before {
            assert!(
                Instant::now() < deadline,
                "{} orphans are left",
                sockets("orphan")
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}
