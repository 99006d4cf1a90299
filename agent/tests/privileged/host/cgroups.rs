//! Real cgroups: from the id of a socket's cgroup to its path, before and after the cgroup is removed.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::fixtures::cgroup::{TestCgroup, all};
use halfopen::host::cgroups::{self, Cgroups, Unknown};
use halfopen_core::model::owner::Kind;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Its path from the root of cgroups.
fn path(made: &TestCgroup, cgroups: &Cgroups) -> PathBuf {
    let below = made.path().strip_prefix(cgroups.mount_point()).unwrap();
    PathBuf::from("/").join(below)
}

#[test]
#[ignore = "needs root"]
fn a_cgroup_is_known_by_its_id_and_stays_so_when_it_is_removed() {
    let Some(mut cgroups) = all() else { return };
    assert!(cgroups.refusal().is_none(), "{:?}", cgroups.refusal());
    let now = Instant::now();
    let root = cgroups.look_up(cgroups::id("/").unwrap(), now).unwrap();
    assert_eq!((&*root.owner.name, root.owner.kind), ("/", Kind::Root));
    for name in ["plain", "with a blank and \\x2d", "as if (deleted)"] {
        let made = TestCgroup::new(cgroups.mount_point(), name);
        let path = path(&made, &cgroups);
        let id = made.id();
        assert_eq!(cgroups::id(path.to_str().unwrap()).unwrap(), id);
        let actual = cgroups.look_up(id, now).unwrap();
        assert_eq!(actual.path, path);
        assert!(cgroups.is_there(id, &actual));
        // As a socket does, it keeps the removed cgroup's node.
        let held = fs::File::open(made.path()).unwrap();
        made.remove();
        assert_eq!(cgroups.look_up(id, now).unwrap().path, path);
        assert!(!cgroups.is_there(id, &actual));
        drop(held);
        // Asked for too late by another, who never knew.
        let late = all().unwrap().look_up(id, now).unwrap_err();
        assert_eq!(late, Unknown::Gone);
        // Another of the same name has another id.
        let again = TestCgroup::new(cgroups.mount_point(), name);
        assert_ne!(again.id(), id);
        assert!(!cgroups.is_there(id, &actual));
        assert_eq!(cgroups.look_up(again.id(), now).unwrap().path, path);
    }
}

#[test]
#[ignore = "needs root"]
fn without_the_capability_the_tree_is_walked() {
    let Some(privileged) = all() else { return };
    let made = TestCgroup::new(privileged.mount_point(), "walked");
    let (id, path) = (made.id(), path(&made, &privileged));
    // Capabilities are a thread's own.
    let walk = thread::spawn(move || {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none).unwrap();
        let mut cgroups = Cgroups::open(0).unwrap();
        assert!(cgroups.refusal().is_some());
        let now = Instant::now();
        assert_eq!(cgroups.look_up(id, now).unwrap().path, path);
        let gone = cgroups.look_up(u64::MAX, now).unwrap_err();
        assert_eq!(gone, Unknown::NotYet);
        (cgroups, path)
    });
    let (mut cgroups, path) = walk.join().unwrap();
    made.remove();
    let later = Instant::now() + Duration::from_secs(3600);
    assert_eq!(cgroups.look_up(id, later).unwrap().path, path);
    let gone = cgroups.look_up(u64::MAX, later).unwrap_err();
    assert_eq!(gone, Unknown::Gone);
}

/// Where [`inside`] finds the ids of a cgroup of its own, and of another's.
const IDS: &str = "HALFOPEN_TEST_CGROUPS";

/// A container's view: it is in a cgroup, and has a namespace of cgroups and a mount of its own.
const CONTAINER: &str = r#"
    echo $$ > "$1/cgroup.procs" && exec unshare --cgroup --mount sh -c '
        umount --lazy "$1" && mount -t cgroup2 none "$1" && exec "$2" --exact host::cgroups::inside --ignored --nocapture
    ' sh "$2" "$3"
"#;

#[test]
#[ignore = "needs root"]
fn what_a_container_is_not_shown_is_outside() {
    let Some(cgroups) = all() else { return };
    let [own, other] = ["own", "other"].map(|name| TestCgroup::new(cgroups.mount_point(), name));
    let child = own.child("child");
    let status = Command::new("sh")
        .args(["-c", CONTAINER, "sh"])
        .args([own.path(), cgroups.mount_point()])
        .arg(env::current_exe().unwrap())
        .env(IDS, format!("{} {} {}", own.id(), child.id(), other.id()))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
#[ignore = "needs root"]
fn inside() {
    let Ok(ids) = env::var(IDS) else {
        println!("skipped: it is part of another test");
        return;
    };
    let ids: Vec<u64> = ids.split(' ').map(|id| id.parse().unwrap()).collect();
    let mut cgroups = Cgroups::open(0).unwrap();
    assert!(!cgroups.is_whole());
    let now = Instant::now();
    let mut path = |id| cgroups.look_up(id, now).map(|it| it.path.clone());
    assert_eq!(
        path(ids[0]),
        Err(Unknown::Outside),
        "its own has no name here"
    );
    assert_eq!(path(ids[1]), Ok("/child".into()));
    assert_eq!(path(ids[2]), Err(Unknown::Outside));
    assert_eq!(path(1), Err(Unknown::Outside), "the root");
    assert_eq!(path(u64::MAX), Err(Unknown::Gone));
}
