//! TLS, with clients of every kind.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    fixtures::{
        reads::{LOOKED_AT, Reads},
        secure::{PLAIN, Secure},
        server::{no_limits, read_all, wait},
    },
    support::{
        certificates::{ANY, Authority, Identity, TlsVersions, ask, connect},
        http::{self, body, status},
    },
};
use halfopen::serve::ServerLimits;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, SupportedCipherSuite,
    crypto::ring::cipher_suite as suite,
    version::{TLS12, TLS13},
};

const ONLY_12: TlsVersions = &[&TLS12];
const ONLY_13: TlsVersions = &[&TLS13];

/// A certificate that no authority has signed.
fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    Identity::new(&params.self_signed(&key).unwrap(), &key)
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
        http::send(&mut stream, "GET", "/", "Connection: close\r\n").ok()?;
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
        http::send(&mut stream, "GET", "/-/healthy", "").unwrap();
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
        shown().1 == fresh.chain
    });
    assert_ne!(first, fresh.chain);
    // A connection from before goes on.
    http::send(&mut before, "GET", "/metrics", "Connection: close\r\n").unwrap();
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
    let reads = Reads::of(&secure.folder.path().join("own.key"));
    wait("the new key is not read", || {
        assert_eq!(shown().1, fresh.chain);
        reads.count() >= LOOKED_AT
    });
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
    let limits = ServerLimits {
        handshake_time: Duration::from_millis(700),
        connections: 64,
        ..no_limits()
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
    let slow: Vec<TcpStream> = (0..40).map(|_| secure.server.connect()).collect();
    for mut stream in slow.iter().skip(20) {
        stream.write_all(b"\x16\x03\x01\x01\x00").unwrap();
    }
    assert_eq!(secure.get(secure.client(), "/metrics", ""), 200);
    let mut drip = secure.server.connect();
    drip.write_all(b"\x16\x03\x01\x01\x00").unwrap();
    wait("endured for ever", || drip.write_all(b"\x01").is_err());
    for stream in slow {
        read_all(stream);
    }
    assert_eq!(secure.get(secure.client(), "/metrics", ""), 200);
    // Nor do they hold up the end.
    let secure = Secure::start_with(PLAIN, no_limits());
    let _open = secure.server.connect();
    secure.server.stop();
}
