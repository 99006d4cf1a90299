//! Passwords and headers of a web configuration.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    time::Duration,
};

use crate::{
    fixtures::{
        reads::{LOOKED_AT, Reads},
        server::{Fake, TestServer, wait},
    },
    support::http::{self, body, status},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use halfopen::serve::{Access, Sampler, ServerLimits};
use tempfile::TempDir;

/// bcrypt of "right", made by crypt(3).
const RIGHT: &str = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";

const PATHS: [&str; 8] = [
    "/",
    "/metrics",
    "/-/healthy",
    "/-/ready",
    "/api/v1/connections?all=true",
    "/api/v1/deaths",
    "/api/v1/events",
    "/nothing",
];

struct Guarded {
    folder: TempDir,
    server: TestServer,
    _sampler: Sampler,
}

impl Guarded {
    /// With a unix socket too.
    fn start(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("web.yml");
        fs::write(&config, text).unwrap();
        let access = Access::load(&config).unwrap();
        let socket = UnixListener::bind(folder.path().join("own.sock")).unwrap();
        let (server, pending) =
            TestServer::pending_with(ServerLimits::default(), access, vec![socket.into()]);
        let sampler = pending
            .run(Fake::default(), Duration::from_secs(3600), |_| ())
            .unwrap();
        Self {
            folder,
            server,
            _sampler: sampler,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let mut request = Vec::new();
        let headers = format!(
            "Connection: close
{headers}"
        );
        http::send(&mut request, "GET", path, &headers).unwrap();
        self.server.send(&request)
    }

    fn get_by_socket(&self, path: &str) -> String {
        let stream = UnixStream::connect(self.folder.path().join("own.sock")).unwrap();
        stream.set_read_timeout(Some(http::READ_LIMIT)).unwrap();
        let answer = http::ask(
            stream,
            "GET",
            path,
            "Host: whatever
",
        )
        .unwrap();
        String::from_utf8(answer).unwrap()
    }
}

fn alice() -> String {
    format!("basic_auth_users: {{alice: {RIGHT}}}")
}

fn basic(name_and_password: &str) -> String {
    let encoded = STANDARD.encode(name_and_password);
    format!("Authorization: Basic {encoded}\r\n")
}

#[test]
fn without_the_right_password_nothing_is_answered() {
    let guarded = Guarded::start(&alice());
    let wrong = [
        String::new(),
        basic("alice:wrong"),
        basic("alice:"),
        basic("alice"),
        basic("Alice:right"),
        basic("mallory:right"),
        basic(":"),
        "Authorization: Basic\r\n".into(),
        "Authorization: Basic %%%\r\n".into(),
        "Authorization: Bearer YWxpY2U6cmlnaHQ=\r\n".into(),
        "Authorization: \r\n".into(),
        // The first counts.
        basic("alice:wrong") + &basic("alice:right"),
    ];
    for headers in &wrong {
        for path in PATHS {
            let answer = guarded.get(path, headers);
            assert_eq!(status(&answer), 401, "{path} {headers}: {answer}");
            assert!(answer.contains("www-authenticate: Basic\r\n"), "{answer}");
            assert_eq!(body(&answer), "Unauthorized\n");
        }
    }
    let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&guarded.server.send(post.as_bytes())), 401);
    guarded.server.stop();
}

#[test]
fn with_the_right_password_all_is_answered() {
    let guarded = Guarded::start(&alice());
    let right = basic("alice:right");
    for (path, expected) in [
        ("/", 200),
        ("/metrics", 200),
        ("/-/healthy", 200),
        ("/-/ready", 200),
        // No hooks run here.
        ("/api/v1/connections?all=true", 503),
        ("/api/v1/deaths", 200),
        ("/nothing", 404),
    ] {
        for host in ["localhost", "agent.example"] {
            let answer = guarded.get(path, &format!("Host: {host}\r\n{right}"));
            assert_eq!(status(&answer), expected, "{path} {host}: {answer}");
        }
    }
    guarded.server.stop();
}

#[test]
fn by_the_unix_socket_nobody_is_asked() {
    let guarded = Guarded::start(&alice());
    for (path, expected) in [
        ("/metrics", 200),
        ("/-/healthy", 200),
        ("/api/v1/deaths", 200),
        ("/api/v1/connections?all=true", 503),
    ] {
        let answer = guarded.get_by_socket(path);
        assert_eq!(status(&answer), expected, "{path}: {answer}");
    }
    guarded.server.stop();
}

#[test]
fn without_users_names_of_this_machine_alone_reach_the_api() {
    let guarded = Guarded::start("");
    assert_eq!(status(&guarded.get("/api/v1/deaths", "")), 200);
    let rebound = guarded.get("/api/v1/deaths", "Host: evil.example\r\n");
    assert_eq!(status(&rebound), 403, "{rebound}");
    // A password that nobody asked for proves nothing.
    let unasked = format!("Host: evil.example\r\n{}", basic("alice:right"));
    assert_eq!(status(&guarded.get("/api/v1/deaths", &unasked)), 403);
    guarded.server.stop();
}

#[test]
fn headers_are_added_to_every_answer() {
    let text = alice()
        + "\nhttp_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: \"1\"}}";
    let guarded = Guarded::start(&text);
    for (path, headers, expected) in [
        ("/metrics", basic("alice:right"), 200),
        ("/nothing", basic("alice:right"), 404),
        ("/metrics", String::new(), 401),
    ] {
        let answer = guarded.get(path, &headers);
        assert_eq!(status(&answer), expected);
        for header in ["x-frame-options: deny\r\n", "x-xss-protection: 1\r\n"] {
            assert_eq!(answer.matches(header).count(), 1, "{answer}");
        }
    }
    guarded.server.stop();
}

#[test]
fn users_come_and_go_without_a_restart() {
    let guarded = Guarded::start(&alice());
    let (alice, bob) = (basic("alice:right"), basic("bob:right"));
    assert_eq!(status(&guarded.get("/metrics", &alice)), 200);
    assert_eq!(status(&guarded.get("/metrics", &bob)), 401);
    let changed = format!("basic_auth_users: {{bob: {RIGHT}}}");
    fs::write(guarded.config(), changed).unwrap();
    wait("the change is not seen", || {
        status(&guarded.get("/metrics", &bob)) == 200
    });
    // Though it was remembered.
    assert_eq!(status(&guarded.get("/metrics", &alice)), 401);
    // An emptied file opens no door.
    fs::write(guarded.config(), "").unwrap();
    let reads = Reads::of(&guarded.config());
    let same = || {
        assert_eq!(status(&guarded.get("/metrics", "")), 401);
        assert_eq!(status(&guarded.get("/metrics", &bob)), 200);
    };
    wait("the emptied file is not read", || {
        same();
        reads.count() >= LOOKED_AT
    });
    same();
    guarded.server.stop();
}
