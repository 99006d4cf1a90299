//! The tables of paths of pods, units, and all else.
//! Each form is one that a runtime writes, unless the row says otherwise.

use super::{ID, INNER, Kind, Manager, Owner, STATIC, UID, owner, path};

#[test]
fn pods_are_told_around_their_containers_and_alone() {
    let check = |template: &str, uid: &str, qos: &str, name: &str| {
        let owner = owner(template);
        let pod = owner.pod.as_ref().unwrap_or_else(|| panic!("{template}"));
        assert_eq!(
            (pod.uid.as_str(), pod.qos.as_str()),
            (uid, qos),
            "{template}"
        );
        assert_eq!(&*owner.name, name, "{template}");
    };
    let alone = format!("pod{UID}");
    let of_static = format!("pod{STATIC}");
    for (template, uid, qos, name) in [
        ("/kubepods/podUID/ID", UID, "guaranteed", ID),
        ("/kubepods/burstable/podUID/ID", UID, "burstable", ID),
        (
            "/kubepods/besteffort/podUID/ID/child",
            UID,
            "besteffort",
            ID,
        ),
        ("/kubepods/burstable/podSTATIC/ID", STATIC, "burstable", ID),
        ("/kubepods/burstable/podUID", UID, "burstable", &alone),
        ("/kubepods/podSTATIC", STATIC, "guaranteed", &of_static),
        (
            "/kubepods.slice/kubepods-podU_I_D.slice",
            UID,
            "guaranteed",
            &alone,
        ),
        (
            "/kubepods.slice/kubepods-podU_I_D.slice/crio-ID.scope",
            UID,
            "guaranteed",
            ID,
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSTATIC.slice/crio-ID.scope",
            STATIC,
            "burstable",
            ID,
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_I_D.slice/docker-ID.scope",
            UID,
            "besteffort",
            ID,
        ),
        // CRI-O's monitor and its sandbox are the pod's, not a container's.
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/crio-conmon-ID.scope",
            UID,
            "burstable",
            &alone,
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/crio-ID",
            UID,
            "burstable",
            &alone,
        ),
        (
            "/kubepods/burstable/podUID/crio-conmon-ID",
            UID,
            "burstable",
            &alone,
        ),
        (
            "/kubepods-burstable-podU_I_D.slice:cri-containerd:ID",
            UID,
            "burstable",
            ID,
        ),
        (
            "/system.slice/containerd.service/kubepods-podU_I_D.slice:cri-containerd:ID",
            UID,
            "guaranteed",
            ID,
        ),
        // kind: a kubelet with a root of its own, in a container of Docker's.
        (
            "/docker/INNER/kubelet/kubepods/burstable/podUID/ID",
            UID,
            "burstable",
            ID,
        ),
        (
            "/system.slice/docker-INNER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-podU_I_D.slice/cri-containerd-ID.scope",
            UID,
            "besteffort",
            ID,
        ),
        (
            "/docker/INNER/kubelet/kubepods/burstable/podUID",
            UID,
            "burstable",
            &alone,
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_I_D.slice/cri-containerd-ID.scope",
            UID,
            "guaranteed",
            ID,
        ),
        // A container in a container of a pod.
        (
            "/kubepods/burstable/podUID/INNER/docker/ID",
            UID,
            "burstable",
            ID,
        ),
    ] {
        check(template, uid, qos, name);
    }
}

#[test]
fn units_are_named_as_systemd_names_them() {
    let check = |template: &str, name: &str| {
        let owner = owner(template);
        assert_eq!(&*owner.name, name, "{template}");
        assert_eq!(owner.kind, Kind::Unit, "{template}");
        assert_eq!((owner.container, owner.pod), (None, None), "{template}");
    };
    for (template, name) in [
        ("/init.scope", "init.scope"),
        ("/system.slice/ab.service", "ab.service"),
        ("/machine.slice/machine-.scope", "machine-.scope"),
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/nginx.service/child", "nginx.service"),
        ("/system.slice/nginx.service/child.service", "nginx.service"),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            "getty@tty1.service",
        ),
        (
            "/system.slice/dev-disk-by\\x2duuid.mount",
            "dev-disk-by\\x2duuid.mount",
        ),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/system.slice/__hidden.service", "_hidden.service"),
        ("/system.slice", "system.slice"),
        ("/user.slice/user-1000.slice", "user-1000.slice"),
        (
            "/kubepods.slice/kubepods-burstable.slice",
            "kubepods-burstable.slice",
        ),
        ("/system.slice/containerd.service", "containerd.service"),
        (
            "/nomad.slice/share.slice/UID.web.scope",
            &format!("{UID}.web.scope"),
        ),
        ("/qemu.slice/100.scope", "100.scope"),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            "session-3.scope",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service",
            "user@1000.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "user@1000.service/init.scope",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.service",
            "user@1000.service/app-foo.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.service/child",
            "user@1000.service/app-foo.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice",
            "user@1000.service/app.slice",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/odd",
            "user@1000.service",
        ),
        ("/../../system.slice/nginx.service", "nginx.service"),
        // Monitors of containers, which are none.
        (
            "/system.slice/crio-conmon-ID.scope",
            &format!("crio-conmon-{ID}.scope"),
        ),
        (
            "/machine.slice/libpod-conmon-ID.scope",
            &format!("libpod-conmon-{ID}.scope"),
        ),
        // Ids that are none.
        (
            "/system.slice/docker-f52987fbdcc7.scope",
            "docker-f52987fbdcc7.scope",
        ),
        (
            "/system.slice/var-lib-docker-overlay2-ID-merged.mount",
            &format!("var-lib-docker-overlay2-{ID}-merged.mount"),
        ),
        ("/machine-web.scope", "machine-web.scope"),
    ] {
        check(template, name);
    }
}

#[test]
fn units_around_containers_and_users_are_told_too() {
    let check = |template: &str, unit: Option<(&str, Manager)>, user: Option<u32>| {
        let owner = owner(template);
        let actual = owner.unit.as_ref().map(|it| (it.name.as_str(), it.manager));
        assert_eq!((actual, owner.user), (unit, user), "{template}");
    };
    let scope = format!("libpod-{ID}.scope");
    check(
        "/system.slice/web.service/libpod-payload-ID",
        Some(("web.service", Manager::System)),
        None,
    );
    check("/docker/ID/system.slice/nginx.service", None, None);
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        Some((&scope, Manager::User(1000))),
        Some(1000),
    );
    check(
        "/user.slice/user-0.slice/session-3.scope",
        Some(("session-3.scope", Manager::System)),
        Some(0),
    );
    check(
        "/user.slice/user-x.slice/session-3.scope",
        Some(("session-3.scope", Manager::System)),
        None,
    );
    check(
        "/user.slice/user-+7.slice/user@07.service/app.slice/a.service",
        None,
        None,
    );
    check(
        "/user.slice/user-07.slice/user@07.service/app.slice/a.service",
        Some(("user@07.service", Manager::System)),
        None,
    );
    let title = |template: &str| owner(template).unit.unwrap().title();
    assert_eq!(
        title("/system.slice/dev-disk-by\\x2duuid.mount"),
        "dev-disk-by-uuid.mount"
    );
    assert_eq!(
        title("/system.slice/a\\x0ab\\xff\\x2.service"),
        "a\\x0ab\\xff\\x5cx2.service"
    );
}

#[test]
fn other_cgroups_are_named_by_their_path() {
    let check = |template: &str, name: &str, kind: Kind| {
        let owner = owner(template);
        assert_eq!((&*owner.name, owner.kind), (name, kind), "{template}");
        assert_eq!(
            (owner.container, owner.unit, owner.pod),
            (None, None, None),
            "{template}"
        );
    };
    check("/", "/", Kind::Root);
    check("", "/", Kind::Root);
    for (template, name) in [
        ("/batch/job 7", "/batch/job\\x207"),
        ("batch//./job/", "/batch/job"),
        ("/..", "/.."),
        ("/../batch", "/../batch"),
        ("/lxc.monitor.web", "/lxc.monitor.web"),
        ("/lxc.monitor/web", "/lxc.monitor/web"),
        ("/lxc.pivot", "/lxc.pivot"),
        ("/lxc", "/lxc"),
        ("/lxc.payload.", "/lxc.payload."),
        ("/docker", "/docker"),
        (
            "/docker/buildkit/9wq1ccbs5vkzs1xh7v4ad8ks1",
            "/docker/buildkit/9wq1ccbs5vkzs1xh7v4ad8ks1",
        ),
        ("/libpod_parent/conmon", "/libpod_parent/conmon"),
        ("/libpod_parent/ID", &path("/libpod_parent/ID")),
        ("/kubepods/burstable", "/kubepods/burstable"),
        // A pod's name where no kubelet puts one, and UIDs that are none.
        ("/podUID", &path("/podUID")),
        ("/kubepods/burstable/pod1234", "/kubepods/burstable/pod1234"),
        ("/kubepods/burstable/pod", "/kubepods/burstable/pod"),
        ("/garden/web", "/garden/web"),
        ("/system.slice/odd", "/system.slice/odd"),
        ("/system.slice/.service", "/system.slice/.service"),
        ("/system.slice/a@.service", "/system.slice/a@.service"),
        (
            "/machine.slice/systemd-nspawn@.service",
            "/machine.slice/systemd-nspawn@.service",
        ),
        ("/café/名", "/café/名"),
        ("/a~b\\c", "/a\\x7eb\\x5cc"),
    ] {
        check(template, name, Kind::Path);
    }
    let upper = ID.to_uppercase();
    assert_eq!(
        Owner::of_path(format!("/docker/{upper}").as_bytes()).kind,
        Kind::Path
    );
    assert_eq!(
        Owner::of_path(format!("/docker/{}", &ID[1..]).as_bytes()).kind,
        Kind::Path
    );
    assert_eq!(
        Owner::of_path(format!("/docker/{ID}{INNER}").as_bytes()).kind,
        Kind::Path
    );
}
