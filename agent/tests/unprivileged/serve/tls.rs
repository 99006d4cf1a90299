//! TLS of the server, in this process, with clients of every kind.
//! It must never need root: the source is a fake.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{
    fixtures::server::{Fake, Server, body, read_all, status, wait},
    support::certificates::{ANY, Authority, Identity, Versions, ask, ask_on, connect},
};
use halfopen::serve::{Access, Limits, Sampler};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ProtocolVersion, SupportedCipherSuite,
    crypto::ring::cipher_suite as suite,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

const NEVER: Duration = Duration::from_secs(3600);
const ONLY_12: Versions = &[&TLS12];
const ONLY_13: Versions = &[&TLS13];

/// A certificate that no authority has signed.
fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    Identity::new(&params.self_signed(&key).unwrap(), &key)
}

/// A server with a certificate of an authority, its settings in a folder.
struct Secure {
    folder: TempDir,
    authority: Authority,
    server: Server,
    _sampler: Sampler,
}

/// Of the whole file; `own` is the server's certificate.
const PLAIN: &str = "tls_server_config: {cert_file: own.pem, key_file: own.key}";

impl Secure {
    fn start(text: &str) -> Self {
        Self::start_with(text, Limits::default())
    }

    fn start_with(text: &str, limits: Limits) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new();
        authority.issue("localhost").write(folder.path(), "own");
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        fs::write(folder.path().join("web.yml"), text).unwrap();
        let access = Access::load(&folder.path().join("web.yml")).unwrap();
        let (server, pending) = Server::pending_with(limits, access, Vec::new());
        let sampler = pending.run(Fake::default(), NEVER, |_| ()).unwrap();
        Self {
            folder,
            authority,
            server,
            _sampler: sampler,
        }
    }

    /// With these lines in `tls_server_config`.
    fn with(lines: &str) -> Self {
        Self::start(&format!(
            "tls_server_config:\n  cert_file: own.pem\n  key_file: own.key\n{lines}"
        ))
    }

    fn client(&self) -> ClientConfig {
        self.authority.client(ANY, None)
    }

    /// The status; 0 where there is no answer.
    fn get(&self, client: ClientConfig, path: &str, headers: &str) -> u16 {
        let answer = ask(self.server.address, client, path, headers);
        answer.map_or(0, |answer| status(&answer))
    }
}

#[test]
fn both_versions_are_spoken_and_only_what_is_asked_for() {
    let both = Secure::start(PLAIN);
    let new = Secure::with("  min_version: TLS13\n");
    let old = Secure::with("  max_version: TLS12\n");
    for (secure, versions, expected) in [
        (&both, ONLY_12, 200),
        (&both, ONLY_13, 200),
        (&new, ONLY_12, 0),
        (&new, ONLY_13, 200),
        (&old, ONLY_12, 200),
        (&old, ONLY_13, 0),
    ] {
        let client = secure.authority.client(versions, None);
        assert_eq!(secure.get(client, "/metrics", ""), expected, "{versions:?}");
    }
    // A client that believes another authority does not get so far.
    assert_eq!(both.get(Authority::new().client(ANY, None), "/", ""), 0);
    let answer = ask(both.server.address, both.client(), "/metrics", "").unwrap();
    assert!(body(&answer).contains("\nhalfopen_build_info{"), "{answer}");
}

#[test]
fn suites_and_curves_are_those_that_are_asked_for() {
    let secure = Secure::with(
        "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP384]\n",
    );
    let used = |suites: &[SupportedCipherSuite]| {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites = suites.to_vec();
        let mut client = secure.client();
        client = {
            let builder = ClientConfig::builder_with_provider(provider.into())
                .with_protocol_versions(ONLY_12)
                .unwrap();
            let mut roots = rustls::RootCertStore::empty();
            let pem = secure.authority.pem.as_bytes();
            let der = rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap();
            roots.add(der).unwrap();
            drop(client);
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        let mut stream = connect(secure.server.address, client);
        ask_on(&mut stream, "/", "Connection: close\r\n").ok()?;
        stream.read_to_string(&mut String::new()).ok()?;
        let group = stream.conn.negotiated_key_exchange_group()?.name();
        assert_eq!(group, rustls::NamedGroup::secp384r1);
        Some(stream.conn.negotiated_cipher_suite()?.suite())
    };
    let (aes128, aes256, chacha) = (
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    );
    // The order is the server's.
    assert_eq!(used(&[aes128, chacha]), Some(chacha.suite()));
    assert_eq!(used(&[aes256, aes128]), Some(aes128.suite()));
    assert_eq!(used(&[aes256]), None);
}

/// Each policy against a client without a certificate, with one that nobody vouches for, and with one
/// of the authority: whether it gets in, and whether it is then known.
#[test]
fn certificates_of_clients() {
    const IN: (u16, u16) = (200, 403);
    const KNOWN: (u16, u16) = (200, 503);
    const OUT: (u16, u16) = (0, 0);
    let any = ["NoClientCert", "RequestClientCert"].map(|policy| (policy, [IN, IN, IN]));
    let others = [
        ("RequireAnyClientCert", [OUT, IN, IN]),
        ("VerifyClientCertIfGiven", [IN, OUT, KNOWN]),
        ("RequireAndVerifyClientCert", [OUT, OUT, KNOWN]),
    ];
    for (policy, expected) in any.into_iter().chain(others) {
        let authority = match policy {
            "NoClientCert" => "",
            _ => "  client_ca_file: ca.pem\n",
        };
        let secure = Secure::with(&format!("  client_auth_type: {policy}\n{authority}"));
        let shown = [
            None,
            Some(self_signed("mallory")),
            Some(secure.authority.issue("scraper")),
        ];
        for versions in [ONLY_12, ONLY_13] {
            let found = shown.clone().map(|shown| {
                let client = || secure.authority.client(versions, shown.as_ref());
                // Asked by a name, the API answers only those who are known: 503, since there are no
                // hooks here.
                let path = "/api/v1/connections?all=true";
                let api = secure.get(client(), path, "Host: agent.example\r\n");
                (secure.get(client(), "/metrics", ""), api)
            });
            assert_eq!(found, expected, "{policy} {versions:?}");
        }
    }
}

#[test]
fn certificates_of_clients_by_name() {
    let secure = Secure::with(
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [scraper.example, other.example]\n",
    );
    for (name, expected) in [
        ("scraper.example", 200),
        ("other.example", 200),
        ("scraper.example.org", 0),
        ("mallory.example", 0),
    ] {
        let identity = secure.authority.issue(name);
        let client = secure.authority.client(ANY, Some(&identity));
        assert_eq!(secure.get(client, "/metrics", ""), expected, "{name}");
    }
    let alone = self_signed("scraper.example");
    let client = secure.authority.client(ANY, Some(&alone));
    assert_eq!(secure.get(client, "/metrics", ""), 0);
}

#[test]
fn a_certificate_is_renewed_without_a_restart() {
    let secure = Secure::start(PLAIN);
    let shown = || {
        let mut stream = connect(secure.server.address, secure.client());
        ask_on(&mut stream, "/-/healthy", "").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let shown = stream.conn.peer_certificates().unwrap().to_vec();
        (stream, shown)
    };
    let (mut before, first) = shown();
    let fresh = secure.authority.issue("localhost");
    fresh.write(secure.folder.path(), "own");
    wait("the new certificate is not shown", || {
        thread::sleep(Duration::from_millis(50));
        shown().1 == fresh.chain
    });
    assert_ne!(first, fresh.chain);
    // A connection from before goes on.
    ask_on(&mut before, "/metrics", "Connection: close\r\n").unwrap();
    let mut rest = String::new();
    before.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("halfopen_build_info"), "{rest}");
    // A key that does not fit changes nothing.
    self_signed("localhost").write(secure.folder.path(), "none");
    fs::copy(
        secure.folder.path().join("none.key"),
        secure.folder.path().join("own.key"),
    )
    .unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(shown().1, fresh.chain);
    assert_eq!(shown().1, fresh.chain);
}

#[test]
fn plain_http_is_told_so() {
    let secure = Secure::start(PLAIN);
    for request in [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.0\r\n\r\n",
    ] {
        let answer = secure.server.send(request.as_bytes());
        assert_eq!(status(&answer), 400, "{answer}");
        assert_eq!(
            body(&answer),
            "Client sent an HTTP request to an HTTPS server.\n"
        );
    }
    assert_eq!(secure.get(secure.client(), "/metrics", ""), 200);
}

#[test]
fn broken_and_slow_handshakes_harm_nobody() {
    let limits = Limits {
        handshake_time: Duration::from_millis(700),
        connections: 64,
        ..Limits::default()
    };
    let secure = Secure::start_with(PLAIN, limits);
    let noise: Vec<u8> = (0..1024_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let garbage: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x01\x00",
        &noise,
    ];
    for bytes in garbage {
        let mut stream = secure.server.connect();
        drop(stream.write_all(bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        // At most an alert.
        assert!(answer.len() < 64, "{answer:?}");
    }
    // Some say nothing, some begin; one drips, which buys it no time.
    let began = Instant::now();
    let slow: Vec<TcpStream> = (0..40).map(|_| secure.server.connect()).collect();
    for mut stream in slow.iter().skip(20) {
        stream.write_all(b"\x16\x03\x01\x01\x00").unwrap();
    }
    assert_eq!(secure.get(secure.client(), "/metrics", ""), 200);
    let mut drip = secure.server.connect();
    drip.write_all(b"\x16\x03\x01\x01\x00").unwrap();
    while drip.write_all(b"\x01").is_ok() {
        let dripping = began.elapsed();
        assert!(dripping < Duration::from_secs(5), "endured for ever");
        thread::sleep(Duration::from_millis(50));
    }
    for stream in slow {
        read_all(stream);
    }
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(secure.get(secure.client(), "/metrics", ""), 200);
    // They hold up neither the end.
    let _open = secure.server.connect();
    let began = Instant::now();
    secure.server.stop();
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn http2_is_spoken_where_it_is_not_switched_off() {
    for (text, expected) in [
        (PLAIN.to_owned(), Some(&b"h2"[..])),
        (
            format!("{PLAIN}\nhttp_server_config: {{http2: false}}"),
            Some(&b"http/1.1"[..]),
        ),
    ] {
        let secure = Secure::start(&text);
        let mut client = secure.client();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut stream = connect(secure.server.address, client);
        stream.flush().unwrap();
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        assert_eq!(stream.conn.alpn_protocol(), expected);
        assert_eq!(
            stream.conn.protocol_version(),
            Some(ProtocolVersion::TLSv1_3)
        );
    }
}

#[test]
fn over_http2_all_is_as_over_http1() {
    let limits = Limits {
        header_time: Duration::from_millis(500),
        ..Limits::default()
    };
    let hash = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
    let secure = Secure::start_with(
        &format!("{PLAIN}\nbasic_auth_users: {{alice: {hash}}}"),
        limits,
    );
    let mut client = secure.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let address = secure.server.address;
    secure.server.runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let mut get = async |path: &str, password: &str| {
            let request = Request::get(format!("https://localhost{path}"))
                .header("authorization", password)
                .body(Empty::<Bytes>::new())
                .unwrap();
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        // alice:right
        let right = "Basic YWxpY2U6cmlnaHQ=";
        assert_eq!(get("/metrics", "").await.0, 401);
        let (status, text) = get("/metrics", right).await;
        assert_eq!(status, 200);
        assert!(text.contains("\nhalfopen_build_info{"), "{text}");
        assert_eq!(get("/nothing", right).await.0, 404);
        // An idle connection is ended.
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        ended.expect("an idle connection is kept").unwrap().unwrap();
    });
    secure.server.stop();
}

/// A client of HTTP/2 that opens no window, but answers when asked whether it lives.
#[test]
fn over_http2_one_who_reads_nothing_is_left() {
    let limits = Limits {
        connections: 1,
        header_time: Duration::from_millis(300),
        unread_time: Duration::from_millis(600),
        ..Limits::default()
    };
    let secure = Secure::start_with(PLAIN, limits);
    let mut client = secure.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let address = secure.server.address;
    secure.server.runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(16);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("https://localhost/metrics")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!connection.is_finished());
        // Kept, and not read.
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        assert!(ended.is_ok(), "it is endured for ever");
        drop(answer);
    });
    // Its place is free.
    wait("its place stays taken", || {
        secure.get(secure.client(), "/metrics", "") == 200
    });
    secure.server.stop();
}
