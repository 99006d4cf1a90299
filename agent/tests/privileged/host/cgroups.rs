//! Real cgroups: from the id that sockets carry to the path, while they live and after.
//! It must never leave one behind.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use halfopen::host::cgroups::{self, Cgroups, Error, Unknown};
use halfopen_core::model::owner::Kind;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// A cgroup that is removed with the test.
struct Made(PathBuf);

impl Made {
    fn new(cgroups: &Cgroups, name: &str) -> Self {
        let name = format!("halfopen-test-{}-{name}", process::id());
        let directory = cgroups.mount_point().join(name);
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    /// Its path from the root of cgroups.
    fn path(&self, cgroups: &Cgroups) -> PathBuf {
        let below = self.0.strip_prefix(cgroups.mount_point()).unwrap();
        PathBuf::from("/").join(below)
    }

    fn remove(&self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// `None`, having said so, where sockets carry no cgroups that could be told.
fn open() -> Option<Cgroups> {
    match Cgroups::open(0) {
        Ok(cgroups) if cgroups.is_whole() => return Some(cgroups),
        Ok(_) => println!("skipped: not all cgroups are shown here"),
        Err(error @ Error::NoHierarchy) => println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
    None
}

#[test]
#[ignore = "needs root"]
fn a_cgroup_is_known_by_its_id_and_stays_so_when_it_is_removed() {
    let Some(mut cgroups) = open() else { return };
    assert!(cgroups.refusal().is_none(), "{:?}", cgroups.refusal());
    let now = Instant::now();
    let root = cgroups.look_up(cgroups::id("/").unwrap(), now).unwrap();
    assert_eq!((&*root.owner.name, root.owner.kind), ("/", Kind::Root));
    for name in ["plain", "with a blank and \\x2d", "as if (deleted)"] {
        let made = Made::new(&cgroups, name);
        let path = made.path(&cgroups);
        let id = made.id();
        assert_eq!(cgroups::id(path.to_str().unwrap()).unwrap(), id);
        let told = cgroups.look_up(id, now).unwrap();
        assert_eq!(told.path, path);
        assert!(cgroups.is_there(id, &told));
        // As a socket does, it keeps the removed cgroup's node.
        let held = fs::File::open(&made.0).unwrap();
        made.remove();
        assert_eq!(cgroups.look_up(id, now).unwrap().path, path);
        assert!(!cgroups.is_there(id, &told));
        drop(held);
        // Asked for too late by another, who never knew.
        let late = open().unwrap().look_up(id, now).unwrap_err();
        assert_eq!(late, Unknown::Gone);
        // Another of the same name has another id.
        let again = Made::new(&cgroups, name);
        assert_ne!(again.id(), id);
        assert!(!cgroups.is_there(id, &told));
        assert_eq!(cgroups.look_up(again.id(), now).unwrap().path, path);
    }
}

#[test]
#[ignore = "needs root"]
fn without_the_capability_the_tree_is_walked() {
    let Some(privileged) = open() else { return };
    let made = Made::new(&privileged, "walked");
    let (id, path) = (made.id(), made.path(&privileged));
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
    let Some(cgroups) = open() else { return };
    let [own, other] = ["own", "other"].map(|name| Made::new(&cgroups, name));
    let child = own.0.join("child");
    fs::create_dir(&child).unwrap();
    let child = Made(child);
    let status = Command::new("sh")
        .args(["-c", CONTAINER, "sh"])
        .args([own.0.as_path(), cgroups.mount_point()])
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
    let mut told = |id| cgroups.look_up(id, now).map(|it| it.path.clone());
    assert_eq!(
        told(ids[0]),
        Err(Unknown::Outside),
        "its own has no name here"
    );
    assert_eq!(told(ids[1]), Ok("/child".into()));
    assert_eq!(told(ids[2]), Err(Unknown::Outside));
    assert_eq!(told(1), Err(Unknown::Outside), "the root");
    assert_eq!(told(u64::MAX), Err(Unknown::Gone));
}
