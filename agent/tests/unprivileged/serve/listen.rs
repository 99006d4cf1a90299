//! Sockets and web configurations with which the real binary does not start.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use crate::support::{
    binary::{failed, halfopen, run, sentence, stderr},
    handed_over::activated,
};
use tempfile::TempDir;

#[test]
fn what_is_no_socket_is_not_removed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "kept").unwrap();
    let output = run(&["agent", "--web.listen-address", path.to_str().unwrap()]);
    failed(&output, "this is not a socket");
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    let absent = folder.path().join("absent/own.sock");
    let output = run(&["agent", "--web.listen-address", absent.to_str().unwrap()]);
    failed(&output, "opening its folder failed");
}

#[test]
fn a_socket_goes_when_the_agent_cannot_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("own.sock");
    let typed = path.to_str().unwrap();
    let output = run(&["agent", "--web.listen-address", typed, "--btf", "/absent"]);
    assert!(!output.status.success());
    assert!(!path.exists(), "left behind");
}

#[test]
fn without_sockets_of_systemd_it_says_so() {
    failed(
        &run(&["agent", "--web.systemd-socket"]),
        "LISTEN_FDS is not set",
    );
    let foreign = halfopen(&["agent", "--web.systemd-socket"])
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1")
        .output()
        .unwrap();
    failed(&foreign, "LISTEN_PID is \"1\"");
    let unusable = |socket: OwnedFd, said: &str| {
        let output = activated([socket], "").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let all = stderr(&output);
        assert!(
            all.contains("descriptor 3 is unusable") && all.contains(said),
            "{all}"
        );
    };
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    unusable(datagrams.into(), "not a TCP or unix stream socket");
    unusable(
        fs::File::open("/dev/null").unwrap().into(),
        "not a TCP or unix stream socket",
    );
    let (pair, _other) = UnixStream::pair().unwrap();
    unusable(pair.into(), "does not listen");
}

#[test]
fn a_bad_web_configuration_ends_it_before_anything_begins() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.yml");
    let file = path.to_str().unwrap();
    let start = || {
        run(&[
            "agent",
            "--web.config.file",
            file,
            "--web.listen-address",
            "127.0.0.1:0",
        ])
    };
    failed(&start(), "cannot be read (No such file");
    for (text, said) in [
        ("nonsense: true", "nonsense"),
        (
            "tls_server_config: {cert_file: a}",
            "needs both cert_file and key_file",
        ),
        ("basic_auth_users: {alice: secret}", "not a bcrypt hash"),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS11}",
            "TLS11",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let output = start();
        failed(&output, said);
        assert!(sentence(&output).contains(file));
    }
}
