//! The example of a web configuration, which this agent and promtool must accept.

use std::{fs, process::Command};

use crate::support::{
    binary::stderr,
    promtool::program,
    web_config::{EXAMPLE, example},
};
use halfopen::serve::Access;

#[test]
fn the_example_is_understood() {
    let (folder, _authority) = example();
    Access::load(&folder.path().join(EXAMPLE)).unwrap();
    // Each of its files is needed.
    for name in ["halfopen.crt", "halfopen.key", "clients.crt"] {
        let (folder, _authority) = example();
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = Access::load(&folder.path().join(EXAMPLE)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn promtool_takes_the_example() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let (folder, _authority) = example();
    let check = |name: &str| {
        let file = folder.path().join(name);
        let mut command = Command::new(&promtool);
        command.args(["check", "web-config"]).arg(file);
        command.output().unwrap()
    };
    let output = check(EXAMPLE);
    assert!(output.status.success(), "{}", stderr(&output));
    // It is asked something.
    fs::write(folder.path().join("wrong.yml"), "nonsense: 1").unwrap();
    assert!(!check("wrong.yml").status.success());
}

/// What promtool takes, this agent takes, but for what it cannot do or would rather not leave open; and
/// what promtool refuses, it refuses.
#[test]
fn promtool_and_this_agent_agree() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    const PAIR: &str = "cert_file: halfopen.crt, key_file: halfopen.key";
    let hash = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
    let tls = |more: &str| format!("tls_server_config: {{{PAIR}{more}}}");
    let (yes, no) = (true, false);
    for (text, theirs, ours) in [
        (String::new(), yes, yes),
        ("nonsense: 1".into(), no, no),
        (tls(""), yes, yes),
        (
            "tls_server_config: {cert_file: halfopen.crt}".into(),
            no,
            no,
        ),
        (tls(", min_version: TLS13"), yes, yes),
        (tls(", min_version: TLS14"), no, no),
        (tls(", client_auth_type: RequireClientCert"), yes, yes),
        (tls(", client_auth_type: Whoever"), no, no),
        (tls(", client_ca_file: clients.crt"), no, no),
        (
            tls(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.crt"),
            yes,
            yes,
        ),
        (
            tls(
                ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256], curve_preferences: [CurveP384]",
            ),
            yes,
            yes,
        ),
        (tls(", cipher_suites: [NONE_SUCH]"), no, no),
        ("http_server_config: {http2: yes}".into(), yes, yes),
        ("http_server_config: {headers: {Server: x}}".into(), no, no),
        (
            "http_server_config: {headers: {X-Frame-Options: x}}".into(),
            no,
            no,
        ),
        (format!("basic_auth_users: {{7: {hash}}}"), yes, yes),
        (
            format!("basic_auth_users: {{a: {hash}, a: {hash}}}"),
            no,
            no,
        ),
        ("basic_auth_users: {a: b}".into(), no, no),
        // What this agent cannot do, or would leave open.
        (tls(", min_version: TLS10"), yes, no),
        (
            tls(", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
            yes,
            no,
        ),
        (tls(", curve_preferences: [CurveP521]"), yes, no),
        (
            tls(", client_auth_type: RequireAndVerifyClientCert"),
            yes,
            no,
        ),
        ("tls_server_config: {min_version: TLS13}".into(), yes, no),
        (format!("basic_auth_users: {{'a:b': {hash}}}"), yes, no),
    ] {
        let (folder, _authority) = example();
        let file = folder.path().join("web.yml");
        fs::write(&file, &text).unwrap();
        let mut command = Command::new(&promtool);
        command.args(["check", "web-config"]).arg(&file);
        let takes = command.output().unwrap().status.success();
        assert_eq!(
            (takes, Access::load(&file).is_ok()),
            (theirs, ours),
            "{text}"
        );
    }
}
