//! Paths of deaths that share a cause with others, against what was done to the connection.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::{
    fixtures::{agent::AgentProcess, scrape::json},
    support::wait,
};
use halfopen_lab::{Family, NetnsLifetime, Pair, net::destroy::destroy};
use socket2::{SockRef, TcpKeepalive};

const PORT: u16 = 7_792;

/// The server's end is gone, and its reset did not arrive: as if the server had been restarted.
#[test]
#[ignore = "needs root"]
fn a_reset_that_answers_a_probe_says_that_the_peer_forgot() {
    let pair = Pair::new("paths", Family::Ipv4, NetnsLifetime::Thread).unwrap();
    let netns = pair.client.inum().unwrap();
    let to = SocketAddr::new(Family::Ipv4.server(), PORT);
    let listener = pair.server.run(move || TcpListener::bind(to).unwrap());
    let listener = listener.unwrap();
    let connect = move || TcpStream::connect(to).unwrap();
    let [probed, idle] = [(); 2].map(|()| pair.client.run(connect).unwrap());
    let accepted = [(); 2].map(|()| listener.accept().unwrap());
    let agent = AgentProcess::start(&[]);

    pair.drop_inbound_at_client().unwrap();
    let from = probed.local_addr().unwrap();
    pair.server.run(move || destroy(to, from)).unwrap().unwrap();
    pair.restore_client().unwrap();
    let every_second = TcpKeepalive::new()
        .with_time(std::time::Duration::from_secs(1))
        .with_interval(std::time::Duration::from_secs(1));
    SockRef::from(&probed)
        .set_tcp_keepalive(&every_second)
        .unwrap();
    // Nothing was asked of this one when its peer ended it.
    let idle_from = idle.local_addr().unwrap();
    pair.server
        .run(move || destroy(to, idle_from))
        .unwrap()
        .unwrap();

    let path = |port: u16| {
        let report = json(&agent, "/api/v1/deaths?limit=10000");
        let all = report["deaths"].as_array().unwrap();
        let mut mine = all
            .iter()
            .filter(|it| it["netns"] == netns && it["local"]["port"] == port);
        mine.next().map(|it| {
            let word = |key: &str| it[key].as_str().unwrap().to_owned();
            (word("cause"), word("path"))
        })
    };
    let own = |word: &str| Some(("reset_received".to_owned(), word.to_owned()));
    for (from, expected) in [(idle_from, "reset_received"), (from, "peer_forgot")] {
        wait("a death is reported", || path(from.port()).is_some());
        assert_eq!(path(from.port()), own(expected));
    }
    drop(accepted);
}
