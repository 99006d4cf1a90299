//! Both paths in the sums that the kernel makes of connections with nothing outstanding.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use halfopen::{options::Options, sockets::Reader};
use halfopen_core::model::{
    connection::Direction,
    detection::{Bucket, DetectionPath},
    liveness::Thresholds,
};
use socket2::{SockRef, TcpKeepalive};

use super::stage::{TCP_RTO_MAX_MS, set_option};
use crate::fixtures::network::enter_private;

const PORT: u16 = 7_779;

/// ip-sysctl.rst: with tcp_retries2 = 15 the kernel tries for 924.6 s at least.
#[test]
#[ignore = "needs root"]
fn summed_connections_count_on_both_paths() {
    enter_private();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let listener = TcpListener::bind(address).unwrap();
    let open = || {
        (
            TcpStream::connect(address).unwrap(),
            listener.accept().unwrap(),
        )
    };
    let kept: Vec<_> = (0..6).map(|_| open()).collect();
    let clients: Vec<SockRef<'_>> = kept.iter().map(|(it, _)| SockRef::from(it)).collect();
    // 10 s, and three intervals of 5 s.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    for client in &clients[..3] {
        client.set_tcp_keepalive(&keepalive).unwrap();
    }
    // One with keepalive, which it lengthens to 40 s, and one without.
    for client in &clients[2..4] {
        let timeout = Some(Duration::from_secs(40));
        client.set_tcp_user_timeout(timeout).unwrap();
    }
    let mut expected = vec![
        ((DetectionPath::Idle, Bucket::Seconds30), 2),
        ((DetectionPath::Idle, Bucket::Minute1), 1),
        ((DetectionPath::Idle, Bucket::Never), 3),
        ((DetectionPath::Data, Bucket::Minute1), 2),
        ((DetectionPath::Data, Bucket::Hour1), 4),
    ];
    // 1.4 s doubling, and thirteen times 1 s.
    if Path::new("/proc/sys/net/ipv4/tcp_rto_max_ms").exists() {
        set_option(&clients[5], TCP_RTO_MAX_MS, 1_000).unwrap();
        expected[4].1 = 3;
        expected.push(((DetectionPath::Data, Bucket::Seconds30), 1));
    }
    let mut reader = Reader::open(&Options::default()).unwrap();
    let walked = reader.walk(&Thresholds::default(), || {}).unwrap();
    let groups = walked.census.groups.iter();
    let mut ours = groups
        .filter(|(group, _)| group.port == Some(PORT) && group.direction == Direction::Outbound);
    let (_, sums) = ours.next().unwrap();
    assert_eq!(sums.detectable, expected.into_iter().collect());
}
