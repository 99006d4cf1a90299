//! Cgroups in a tree that only looks like theirs, by walks.

use super::*;

/// Cgroups of a directory, as where handles are refused.
fn walked(root: &tempfile::TempDir) -> Cgroups {
    Cgroups {
        hierarchy: Hierarchy {
            mount: 1,
            point: root.path().to_owned(),
            part: "/".into(),
            whole: true,
        },
        root: File::open(root.path()).unwrap(),
        way: Way::Walk {
            why: io::Error::from_raw_os_error(libc::EPERM),
            next: None,
        },
        known: HashMap::new(),
        capacity: LEAST_CAPACITY,
        questions: 0,
    }
}

fn make(root: &tempfile::TempDir, path: &str) -> u64 {
    let directory = root.path().join(path);
    fs::create_dir_all(&directory).unwrap();
    fs::metadata(directory).unwrap().ino()
}

fn name(actual: Result<Arc<Cgroup>, Unknown>) -> Result<String, Unknown> {
    actual.map(|cgroup| cgroup.owner.name.to_string())
}

#[test]
fn what_was_found_once_is_known_when_it_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let [a, b] = ["system.slice/a.service", "system.slice/b.service"].map(|it| make(&root, it));
    let mut cgroups = walked(&root);
    let now = Instant::now();
    let actual = cgroups.look_up(a, now).unwrap();
    assert_eq!(actual.path, Path::new("/system.slice/a.service"));
    let top = fs::metadata(root.path()).unwrap().ino();
    assert_eq!(name(cgroups.look_up(top, now)), Ok("/".into()));
    fs::remove_dir_all(root.path().join("system.slice")).unwrap();
    let later = now + Duration::from_secs(3600);
    assert_eq!(name(cgroups.look_up(a, later)), Ok("a.service".into()));
    // Met by the same walk, and asked for only now.
    assert_eq!(name(cgroups.look_up(b, later)), Ok("b.service".into()));
}

#[test]
fn what_was_never_found_is_unknown_and_says_why() {
    let root = tempfile::tempdir().unwrap();
    let mut cgroups = walked(&root);
    let now = Instant::now();
    assert_eq!(name(cgroups.look_up(0, now)), Err(Unknown::NoId));
    assert_eq!(name(cgroups.look_up(u64::MAX, now)), Err(Unknown::Gone));
    let new = make(&root, "new");
    assert_eq!(name(cgroups.look_up(new, now)), Err(Unknown::NotYet));
    let later = now + Duration::from_secs(60);
    assert_eq!(name(cgroups.look_up(new, later)), Ok("/new".into()));
    cgroups.hierarchy.whole = false;
    let later = later + Duration::from_secs(60);
    let actual = cgroups.look_up(u64::MAX, later);
    assert_eq!(name(actual), Err(Unknown::Outside));
    for why in [
        Unknown::NoId,
        Unknown::Gone,
        Unknown::Outside,
        Unknown::NotYet,
        Unknown::Refused(libc::EIO),
    ] {
        assert!(why.to_string().contains("cgroup"), "{why}");
    }
}

#[test]
fn a_part_of_the_tree_has_its_path_from_the_root() {
    let root = tempfile::tempdir().unwrap();
    let child = make(&root, "child");
    let mut cgroups = walked(&root);
    cgroups.hierarchy.part = "/system.slice/a.service".into();
    cgroups.hierarchy.whole = false;
    let actual = cgroups.look_up(child, Instant::now()).unwrap();
    assert_eq!(actual.path, Path::new("/system.slice/a.service/child"));
    assert_eq!(&*actual.owner.name, "a.service");
}

#[test]
fn those_asked_for_longest_ago_are_forgotten_first() {
    let root = tempfile::tempdir().unwrap();
    let mut cgroups = walked(&root);
    let now = Instant::now();
    // A walk has met none of these, so that they are told from memory alone.
    for id in 0..LEAST_CAPACITY as u64 {
        cgroups.questions += 1;
        let id = (1 << 40) + id;
        cgroups.remember(id, format!("/{id}").into(), cgroups.questions);
    }
    let first = 1 << 40;
    assert!(
        cgroups.look_up(first, now).is_ok(),
        "the last that was asked"
    );
    cgroups.remember(7, "/7".into(), cgroups.questions + 1);
    assert!(cgroups.known.len() > LEAST_CAPACITY / 2);
    assert!(cgroups.known.len() <= LEAST_CAPACITY);
    assert!(cgroups.look_up(first, now).is_ok());
    assert!(cgroups.look_up(7, now).is_ok());
    assert_eq!(name(cgroups.look_up(first + 1, now)), Err(Unknown::Gone));
    let last = first + LEAST_CAPACITY as u64 - 1;
    assert!(cgroups.look_up(last, now).is_ok());
}

#[test]
fn a_walk_drives_out_nothing_that_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let wanted = make(&root, "wanted");
    make(&root, "other");
    let mut cgroups = walked(&root);
    for id in 0..LEAST_CAPACITY as u64 {
        cgroups.remember((1 << 40) + id, "/x".into(), id + 1);
    }
    cgroups.questions = LEAST_CAPACITY as u64;
    assert!(cgroups.look_up(wanted, Instant::now()).is_ok());
    let last = (1 << 40) + LEAST_CAPACITY as u64 - 1;
    assert!(cgroups.known.contains_key(&last));
}
