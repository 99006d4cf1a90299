use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";

/// A folder with a certificate, its key, and the key of another certificate.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let files = [
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
        ("other.pem", KeyPair::generate().unwrap().serialize_pem()),
        ("empty.pem", String::new()),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(folder: &TempDir, text: &str) -> Result<WebConfig, ConfigError> {
    let path = folder.path().join("web.yml");
    fs::write(&path, text).unwrap();
    WebConfig::load(&path).map(|(config, _)| config)
}

/// `tls_server_config` with a certificate and these settings.
fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  {more}\n")
}

#[test]
fn every_setting_takes_effect() {
    let folder = folder();
    for text in ["", "tls_server_config:\nbasic_auth_users: {}\n"] {
        let config = load(&folder, text).unwrap();
        assert!(config.tls.is_none() && config.users.is_none() && config.headers.is_empty());
    }
    let config = load(&folder, &tls("")).unwrap();
    let server = &config.tls.as_ref().unwrap().config;
    assert_eq!(server.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    assert!(server.ignore_client_order);
    assert!(!config.tls.unwrap().verifies_clients);

    let text = tls("prefer_server_cipher_suites: false")
        + "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n";
    let config = load(&folder, &text).unwrap();
    let server = &config.tls.as_ref().unwrap().config;
    assert_eq!(server.alpn_protocols, [b"http/1.1"]);
    assert!(!server.ignore_client_order);
    assert_eq!(config.headers.len(), 1);
    assert_eq!(config.headers["x-frame-options"], "deny");

    for (policy, verifies) in [
        ("VerifyClientCertIfGiven", true),
        ("RequireAndVerifyClientCert", true),
        ("RequireAnyClientCert", false),
        ("RequestClientCert", false),
    ] {
        let text = tls(&format!(
            "client_auth_type: {policy}\n  client_ca_file: cert.pem"
        ));
        let config = load(&folder, &text).unwrap();
        assert_eq!(config.tls.unwrap().verifies_clients, verifies, "{policy}");
    }
}

#[test]
fn certificates_may_be_inline() {
    let folder = folder();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let block = |text: String| text.replace('\n', "\n    ");
    let text = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n",
        block(read("cert.pem")),
        block(read("key.pem"))
    );
    assert!(load(&folder, &text).unwrap().tls.is_some());
}

#[test]
fn relative_paths_start_at_the_configuration() {
    let folder = folder();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    for name in ["cert.pem", "key.pem"] {
        fs::rename(folder.path().join(name), below.join(name)).unwrap();
    }
    let text = "tls_server_config: {cert_file: below/cert.pem, key_file: below/key.pem}";
    assert!(load(&folder, text).unwrap().tls.is_some());
    let absolute = format!(
        "tls_server_config: {{cert_file: {0}/cert.pem, key_file: {0}/key.pem}}",
        below.display()
    );
    assert!(load(&folder, &absolute).unwrap().tls.is_some());
}

#[test]
fn invalid_settings_are_refused_in_one_line() {
    let folder = folder();
    let users = format!("basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}\n");
    for (text, said) in [
        ("nonsense: 1", "nonsense"),
        (
            "rate_limit: {interval: 1s, burst: 2}",
            "rate_limit is not supported",
        ),
        (
            "tls_server_config: {min_version: TLS13}",
            "needs both cert_file and key_file",
        ),
        (
            "tls_server_config: {cert_file: cert.pem}",
            "needs both cert_file and key_file",
        ),
        (
            "tls_server_config: {cert_file: absent.pem, key_file: key.pem}",
            "cert_file absent.pem cannot be read (No such file",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: /dev/zero}",
            "key_file /dev/zero cannot be read (it is not a regular file",
        ),
        (
            "tls_server_config: {cert_file: empty.pem, key_file: key.pem}",
            "cert_file empty.pem contains no PEM certificate",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: cert.pem}",
            "key_file cert.pem contains no unencrypted PEM private key",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: other.pem}",
            "cert_file cert.pem and key_file other.pem cannot be used together",
        ),
        (&tls("cert: x"), "both cert and cert_file are given"),
        (&tls("min_version: TLS10"), "TLS10, which is broken"),
        (&tls("max_version: SSL3"), "which is not a version"),
        (
            &tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"),
            "TLS_RSA_WITH_RC4_128_SHA",
        ),
        (&tls("curve_preferences: [CurveP521]"), "CurveP521"),
        (
            &tls("max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]"),
            "no handshake could succeed",
        ),
        (
            &tls("client_auth_type: Maybe"),
            "client_auth_type is \"Maybe\"",
        ),
        (
            &tls("client_ca_file: cert.pem"),
            "client_auth_type requests no certificate",
        ),
        (
            &tls("client_auth_type: RequireAndVerifyClientCert"),
            "needs client_ca_file",
        ),
        (
            &tls("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty.pem"),
            "client_ca_file empty.pem contains no PEM certificate",
        ),
        (
            &tls(
                "client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n  client_allowed_sans: [a]",
            ),
            "client_allowed_sans needs",
        ),
        (
            &tls("client_auth_type: RequireAnyClientCert\n  client_allowed_sans: []"),
            "client_allowed_sans is empty",
        ),
        (
            "http_server_config: {headers: {Server: x}}",
            "\"Server\" cannot be set",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: allow}}",
            "write deny or sameorigin",
        ),
        (
            "http_server_config: {headers: {Content-Security-Policy: \"a\\nb\"}}",
            "Content-Security-Policy has an invalid value",
        ),
        (&users, "alice"),
        (
            "basic_auth_users: {alice: secret}",
            "\"alice\": the password is not a bcrypt hash",
        ),
    ] {
        let error = load(&folder, text).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(said), "{text}: {sentence}");
        assert!(sentence.contains("web.yml"), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
        for secret in [HASH, "PRIVATE KEY"] {
            assert!(!sentence.contains(secret), "{sentence}");
        }
    }
}

#[test]
fn unreadable_configurations() {
    let folder = folder();
    let said = |path: &Path| WebConfig::load(path).unwrap_err().to_string();
    let absent = folder.path().join("absent.yml");
    assert!(said(&absent).contains("absent.yml cannot be used: it cannot be read (No such file"));
    assert!(said(folder.path()).contains("it is not a regular file"));
    let large = folder.path().join("large.yml");
    fs::write(&large, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(said(&large).contains("more than 1 MiB"));
    let binary = folder.path().join("binary.yml");
    fs::write(&binary, b"\xff\xfe").unwrap();
    assert!(said(&binary).contains("not UTF-8 text"));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(said(&pipe).contains("it is not a regular file"));
}

/// A configuration whose files are checked when a test says so.
fn access(folder: &TempDir, text: &str) -> Access {
    load(folder, text).unwrap();
    Access::load(&folder.path().join("web.yml")).unwrap()
}

fn last_error(access: &Access) -> String {
    let last = access.0.files.as_ref().unwrap().last.lock().unwrap();
    last.error.clone().unwrap_or_default()
}

#[test]
fn valid_changes_are_loaded_and_invalid_ones_are_not() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let users = |names: &[&str]| {
        let lines: String = names
            .iter()
            .map(|name| format!("  {name}: {HASH}\n"))
            .collect();
        tls("") + "basic_auth_users:\n" + &lines
    };
    let access = access(&folder, &users(&["alice"]));
    let first = access.0.current();
    access.0.check();
    assert!(
        Arc::ptr_eq(&first, &access.0.current()),
        "nothing has changed"
    );

    write("web.yml", &users(&["alice", "bob"]));
    access.0.check();
    let second = access.0.current();
    assert_ne!(second.users, first.users);
    assert_eq!(last_error(&access), "");

    for (text, said) in [
        ("", "switching TLS on or off requires a restart"),
        (&users(&[])[..], "basic_auth_users requires a restart"),
        ("tls_server_config: {cert_file: cert.pem", "line 1"),
    ] {
        write("web.yml", text);
        access.0.check();
        assert!(Arc::ptr_eq(&second, &access.0.current()), "{text}");
        assert!(
            last_error(&access).contains(said),
            "{}",
            last_error(&access)
        );
    }
    fs::remove_file(folder.path().join("web.yml")).unwrap();
    access.0.check();
    assert!(last_error(&access).contains("cannot be read"));
    assert!(Arc::ptr_eq(&second, &access.0.current()));
    write("web.yml", &users(&["alice", "bob"]));
    access.0.check();
    assert_eq!(last_error(&access), "", "as it was");

    // A certificate that is replaced before its key.
    let fresh = self::folder();
    for (name, changes) in [("cert.pem", false), ("key.pem", true)] {
        fs::copy(fresh.path().join(name), folder.path().join(name)).unwrap();
        access.0.check();
        assert_eq!(
            !Arc::ptr_eq(&second, &access.0.current()),
            changes,
            "{name}"
        );
    }
    assert_eq!(last_error(&access), "");
}

#[test]
fn a_half_written_file_is_not_loaded() {
    let folder = folder();
    let path = folder.path().join("web.yml");
    let half = tls("");
    let whole = half.clone() + "  client_auth_type: RequireAnyClientCert\n";
    let access = access(&folder, &whole);
    let before = access.0.current();
    // By itself, the first half would require no client certificate.
    fs::write(&path, &half).unwrap();
    access
        .0
        .check_settled(|| fs::write(&path, whole.clone() + "# changed\n").unwrap());
    assert!(Arc::ptr_eq(&before, &access.0.current()));
    assert_eq!(last_error(&access), "");
    access.0.check_settled(|| ());
    assert!(!Arc::ptr_eq(&before, &access.0.current()), "it has settled");
}

#[test]
fn files_are_checked_once_a_second() {
    let folder = folder();
    let access = access(&folder, "");
    assert!(!access.0.is_due());
    let ago = Instant::now().checked_sub(CHECK_INTERVAL).unwrap();
    *access.0.files.as_ref().unwrap().checked_at.lock().unwrap() = ago;
    assert!(access.0.is_due());
    assert!(!access.0.is_due());
    assert!(!Access::open().unwrap().0.is_due());
}
