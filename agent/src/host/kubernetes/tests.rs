//! Names in directories as a kubelet, and as others, would leave them.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use super::*;

const ID: &str = "f52987fbdcc7b29175fb52e01c7917e9d6d2e14550e3a2a7abf739da5a067e31";
const UID: &str = "73dc8baf-43a0-413e-aac2-5eb0868f6c1a";
const STATIC: &str = "b53dfa9e2dc9b890f7fadb2770857b03";

/// Logs of these pods, and links to those of these containers.
fn logs(pods: &[&str], containers: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for directory in ["pods", "containers"] {
        fs::create_dir(root.path().join(directory)).unwrap();
    }
    for name in pods {
        fs::create_dir_all(root.path().join("pods").join(name).join("app")).unwrap();
    }
    for name in containers {
        symlink("/nowhere", root.path().join("containers").join(name)).unwrap();
    }
    root
}

fn told_pod(names: &Names, uid: &str) -> Option<String> {
    names.pod(uid).map(|name| name.to_string())
}

fn told_container(names: &Names, id: &str) -> Option<String> {
    names.container(id).map(|name| name.to_string())
}

#[test]
fn pods_and_containers_have_the_names_that_kubernetes_gave() {
    let pods = [
        format!("default_web-6f9c-x2_{UID}"),
        format!("kube-system_etcd-node.a.example_{STATIC}"),
    ];
    let link = format!("web-6f9c-x2_default_app-1-{ID}.log");
    let root = logs(&pods.each_ref().map(String::as_str), &[&link]);
    let names = Names::read(root.path(), Instant::now()).unwrap();
    assert_eq!(told_pod(&names, UID).unwrap(), "default/web-6f9c-x2");
    let etcd = told_pod(&names, STATIC).unwrap();
    assert_eq!(etcd, "kube-system/etcd-node.a.example");
    let app = told_container(&names, ID).unwrap();
    assert_eq!(app, "default/web-6f9c-x2/app-1");
    assert_eq!(names.container(ID).unwrap().container, "app-1");
    assert_eq!(told_pod(&names, "other"), None);
    assert_eq!(told_container(&names, &ID[1..]), None);
}

#[test]
fn what_no_kubelet_writes_is_passed_over() {
    for name in [
        "",
        UID,
        &format!("default_{UID}"),
        &format!("default__{UID}"),
        &format!("_web_{UID}"),
        &format!("default_web_{UID}_x"),
        &format!("default_web_{}", &UID[1..]),
        &format!("Default_web_{UID}"),
        &format!("default_web\n_{UID}"),
        &format!("default_web\x1b[31m_{UID}"),
        &format!("default_-web_{UID}"),
        &format!("default_web._{UID}"),
        &format!("de.fault_web_{UID}"),
        &format!("{}_web_{UID}", "n".repeat(64)),
        &format!("default_{}_{UID}", "p".repeat(254)),
        &format!("default_w\u{e9}b_{UID}"),
    ] {
        assert_eq!(pod(name), None, "{name:?}");
    }
    assert!(pod(&format!("{}_{}_{UID}", "n".repeat(63), "p".repeat(253))).is_some());
    for name in [
        "",
        ".log",
        &format!("{ID}.log"),
        &format!("web_default_app-{ID}"),
        &format!("web_default-{ID}.log"),
        &format!("web_default_app_x-{ID}.log"),
        &format!("web_default_-{ID}.log"),
        &format!("web_default_a.b-{ID}.log"),
        &format!("web_default_app-{}.log", &ID[..60]),
        &format!("web_default_app-{}.log", ID.to_uppercase()),
        &format!("web_def\tault_app-{ID}.log"),
    ] {
        assert_eq!(container(name), None, "{name:?}");
    }
    let root = logs(&["lost+found", "a_b_c"], &["x.log"]);
    let odd = OsStr::from_bytes(b"default_\xff_73dc8baf-43a0-413e-aac2-5eb0868f6c1a");
    fs::create_dir(root.path().join("pods").join(odd)).unwrap();
    fs::write(root.path().join("pods/a file"), "").unwrap();
    let names = Names::read(root.path(), Instant::now()).unwrap();
    assert!(names.pods.is_empty() && names.containers.is_empty());
}

#[test]
fn names_are_read_again_and_stay_when_their_pod_is_gone() {
    let pod = format!("default_web_{UID}");
    let root = logs(&[&pod], &[]);
    let now = Instant::now();
    let mut names = Names::read(root.path(), now).unwrap();
    fs::remove_dir_all(root.path().join("pods").join(pod)).unwrap();
    let new = root.path().join(format!("pods/default_new_{STATIC}"));
    fs::create_dir(new).unwrap();
    let link = format!("new_default_app-{ID}.log");
    symlink("/nowhere", root.path().join("containers").join(link)).unwrap();
    names.refresh(now + FRESH / 2).unwrap();
    assert_eq!(told_pod(&names, STATIC), None, "not so soon");
    names.refresh(now + FRESH).unwrap();
    assert_eq!(told_pod(&names, STATIC).unwrap(), "default/new");
    assert_eq!(told_container(&names, ID).unwrap(), "default/new/app");
    assert_eq!(told_pod(&names, UID).unwrap(), "default/web", "gone");
    fs::remove_dir_all(root.path().join("pods")).unwrap();
    names.refresh(now + FRESH * 2).unwrap_err();
    assert_eq!(told_pod(&names, UID).unwrap(), "default/web");
}

#[test]
fn without_links_pods_have_names_and_without_pods_there_is_an_error() {
    let root = logs(&[&format!("default_web_{UID}")], &[]);
    fs::remove_dir(root.path().join("containers")).unwrap();
    let names = Names::read(root.path(), Instant::now()).unwrap();
    assert_eq!(told_pod(&names, UID).unwrap(), "default/web");
    let nowhere = Names::read(&root.path().join("nowhere"), Instant::now());
    assert_eq!(nowhere.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn those_gone_longest_are_forgotten_first_and_none_that_is_there() {
    let mut names = HashMap::new();
    for number in 0..KEPT as u64 {
        see(&mut names, number.to_string(), number, number + 1);
    }
    let now = KEPT as u64 + 1;
    forget(&mut names, now);
    assert_eq!(names.len(), KEPT);
    for number in 0..10 {
        see(&mut names, format!("new {number}"), number, now);
    }
    forget(&mut names, now);
    assert_eq!(names.len(), KEPT);
    assert!(names.contains_key("new 0") && !names.contains_key("9"));
    assert!(names.contains_key("10"));
    for number in 0..2 * KEPT as u64 {
        see(&mut names, format!("all {number}"), number, now + 1);
    }
    forget(&mut names, now + 1);
    assert!(names.len() >= 2 * KEPT);
}
