//! HTTP/2.

use std::{io::Write, time::Duration};

use crate::{
    fixtures::{
        secure::{PLAIN, Secure},
        server::{LIMIT, wait},
    },
    support::certificates::connect,
};
use halfopen::serve::ServerLimits;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ProtocolVersion, pki_types::ServerName};

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
    let limits = ServerLimits {
        header_time: Duration::from_millis(500),
        ..ServerLimits::default()
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
        let ended = tokio::time::timeout(LIMIT, connection).await;
        ended.expect("an idle connection is kept").unwrap().unwrap();
    });
    secure.server.stop();
}

/// A client of HTTP/2 that opens no window, but answers when asked whether it lives.
#[test]
fn over_http2_one_who_reads_nothing_is_left() {
    let limits = ServerLimits {
        connections: 1,
        header_time: Duration::from_millis(300),
        unread_time: Duration::from_millis(600),
        ..ServerLimits::default()
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
        let ended = tokio::time::timeout(LIMIT, connection).await;
        assert!(ended.is_ok(), "it is endured for ever");
        drop(answer);
    });
    // Its place is free.
    wait("its place stays taken", || {
        secure.get(secure.client(), "/metrics", "") == 200
    });
    secure.server.stop();
}
