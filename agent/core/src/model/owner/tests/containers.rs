//! The table of paths of containers.
//! Each form is one that a runtime writes, unless the row says otherwise.

use super::{ID, INNER, Kind, Runtime, STATIC, owner};

/// Path, and the runtime that it tells.
const CONTAINERS: &[(&str, Option<Runtime>)] = {
    use Runtime::{Containerd, CriO, Docker, Podman};
    &[
        // Docker, with cgroupfs and with systemd; compose and swarm are no different.
        ("/docker/ID", Some(Docker)),
        ("/docker/ID/init", Some(Docker)),
        ("/docker/ID/system.slice/nginx.service", Some(Docker)),
        ("/system.slice/docker-ID.scope", Some(Docker)),
        ("/system.slice/docker-ID.scope/init.scope", Some(Docker)),
        ("/system.slice/docker.service/docker/ID", Some(Docker)),
        ("/build.slice/docker-ID.scope", Some(Docker)),
        ("/system.slice:docker:ID", Some(Docker)),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            Some(Docker),
        ),
        ("/my-parent/ID", None),
        ("/actions_job/ID", None),
        // ECS.
        ("/ecs/STATIC/ID", Some(Docker)),
        (
            "/ecstasks.slice/ecstasks-STATIC.slice/docker-ID.scope",
            Some(Docker),
        ),
        // containerd and nerdctl.
        ("/system.slice/nerdctl-ID.scope", Some(Containerd)),
        ("/default/ID", Some(Containerd)),
        ("/k8s.io/ID", Some(Containerd)),
        // Podman, of root and of a user.
        ("/machine.slice/libpod-ID.scope", Some(Podman)),
        ("/machine.slice/libpod-ID.scope/container", Some(Podman)),
        (
            "/machine.slice/machine-libpod_pod_INNER.slice/libpod-ID.scope/container",
            Some(Podman),
        ),
        ("/libpod_parent/libpod-ID", Some(Podman)),
        ("/libpod_parent/INNER/libpod-ID/container", Some(Podman)),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            Some(Podman),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_INNER.slice/libpod-ID.scope",
            Some(Podman),
        ),
        ("/system.slice/web.service/libpod-payload-ID", Some(Podman)),
        // The kubelet's two drivers, with each runtime.
        ("/kubepods/burstable/podUID/ID", None),
        ("/kubepods/podUID/crio-ID", Some(CriO)),
        (
            "/kubepods.slice/kubepods-podU_I_D.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/crio-ID.scope",
            Some(CriO),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/crio-ID.scope/container",
            Some(CriO),
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_I_D.slice/docker-ID.scope",
            Some(Docker),
        ),
        (
            "/kubepods-besteffort-podU_I_D.slice:cri-containerd:ID",
            Some(Containerd),
        ),
        (
            "/system.slice/containerd.service/kubepods-besteffort-podU_I_D.slice:cri-containerd:ID",
            Some(Containerd),
        ),
        // As seen from inside another container.
        ("/../../ID", None),
        ("/../../podUID/ID", None),
        (
            "/../../../kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        // A prefix of nobody's, in a scope.
        ("/system.slice/sysbox-ID.scope", None),
    ]
};

#[test]
fn containers_are_named_by_their_whole_id() {
    for (template, runtime) in CONTAINERS {
        let owner = owner(template);
        let container = owner.container.as_ref();
        assert_eq!(&*owner.name, ID, "{template}");
        assert_eq!(owner.kind, Kind::Container, "{template}");
        assert_eq!(container.unwrap().id, ID, "{template}");
        assert_eq!(container.unwrap().runtime, *runtime, "{template}");
        assert_eq!(container.unwrap().outermost, None, "{template}");
    }
}

#[test]
fn of_nested_containers_the_innermost_is_meant_and_the_outermost_told() {
    for template in [
        "/docker/INNER/docker/ID",
        "/system.slice/docker-INNER.scope/system.slice/docker-ID.scope",
        "/kubepods/burstable/podUID/INNER/docker/ID",
        "/docker/INNER/kubelet/kubepods/podUID/ID",
    ] {
        let owner = owner(template);
        assert_eq!(&*owner.name, ID, "{template}");
        let container = owner.container.unwrap();
        assert_eq!(container.outermost.as_deref(), Some(INNER), "{template}");
    }
    let owner = owner("/lxc.payload.web/system.slice/docker-ID.scope");
    let container = owner.container.unwrap();
    assert_eq!(container.outermost.as_deref(), Some("web"));
    assert_eq!(container.runtime, Some(Runtime::Docker));
}

#[test]
fn containers_with_names_are_named_so_that_nobody_else_is() {
    let check = |template: &str, runtime, id: &str, name: &str| {
        let owner = owner(template);
        assert_eq!(&*owner.name, name, "{template}");
        assert_eq!(owner.kind, Kind::Container, "{template}");
        let container = owner.container.unwrap();
        assert_eq!(container.id, id, "{template}");
        assert_eq!(container.runtime, Some(runtime), "{template}");
    };
    for template in [
        "/lxc/web",
        "/lxc/web/ns",
        "/lxc/web/ns/system.slice/nginx.service",
        "/lxc.payload.web",
        "/lxc.payload.web/init.scope",
        "/lxc.payload.web/system.slice/nginx.service",
        "/lxc.payload/web",
        "/user.slice/user-1000.slice/session-1.scope/lxc/web",
    ] {
        check(template, Runtime::Lxc, "web", "lxc/web");
    }
    check("/lxc/101/ns", Runtime::Lxc, "101", "lxc/101");
    check(
        "/lxc/nginx.service",
        Runtime::Lxc,
        "nginx.service",
        "lxc/nginx.service",
    );
    check(
        "/lxc.payload.project_a.b",
        Runtime::Lxc,
        "project_a.b",
        "lxc/project_a.b",
    );
    let nspawn = "systemd-nspawn@web\\x2d1.service";
    for below in [
        "",
        "/payload",
        "/payload/init.scope",
        "/payload/system.slice/nginx.service",
    ] {
        let template = format!("/machine.slice/{nspawn}{below}");
        check(&template, Runtime::Nspawn, "web-1", nspawn);
    }
    let machine = "machine-qemu\\x2d1\\x2dweb.scope";
    check(
        &format!("/machine.slice/{machine}/libvirt/emulator"),
        Runtime::Machine,
        "qemu-1-web",
        machine,
    );
    let handle = "6f265890-5165-7fab-6b52-18d1";
    for before in [
        "/system.slice/garden.service/garden/",
        "/garden/good/",
        "/garden/bad/",
    ] {
        check(
            &format!("{before}{handle}"),
            Runtime::Garden,
            handle,
            &format!("garden/{handle}"),
        );
    }
    let fargate = format!("{STATIC}-3557243434");
    let owner = owner(&format!("/ecs/{STATIC}/{fargate}"));
    assert_eq!(*owner.name, *fargate);
}
