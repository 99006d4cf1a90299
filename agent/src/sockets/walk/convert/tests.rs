//! Hand-made sockets and what they mean.

use halfopen_common::{NetKey, icsk_pending::PROBE0};
use zerocopy::FromZeros as _;

use super::*;
use crate::bpf::address::AF_INET;
use halfopen_core::model::connection::AcceptQueue;

const HZ: u64 = 250;
const ESTABLISHED: u8 = 1;

fn converter() -> Converter {
    let mut net = Net::new_zeroed();
    net.key = NetKey {
        inum: 7,
        ..NetKey::new_zeroed()
    };
    net.keepalive_time = 7200 * 250;
    net.keepalive_interval = 75 * 250;
    net.keepalive_probes = 9;
    Converter::new(&[net], HZ, Owners::open(0, false))
}

fn socket(change: impl FnOnce(&mut Socket)) -> Socket {
    let mut socket = Socket::new_zeroed();
    socket.net.inum = 7;
    socket.state = ESTABLISHED;
    socket.direction = direction::OUTBOUND;
    socket.family = AF_INET;
    socket.local = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
    socket.remote = socket.local;
    socket.jiffies = 1 << 33;
    change(&mut socket);
    socket
}

fn converted(change: impl FnOnce(&mut Socket)) -> Connection {
    converter().connection(&socket(change)).unwrap()
}

#[test]
fn ages_survive_the_wrap_of_the_clock() {
    let check = |now: u64, then: u32, seconds| {
        let connection = converted(|s| {
            s.jiffies = now;
            s.rcv_tstamp = then;
        });
        assert_eq!(
            connection.last_ack,
            Ok(Duration::from_secs(seconds)),
            "{now} {then}"
        );
    };
    check(1000, 500, 2);
    check(0x1_0000_00fa, 0, 1);
    check(0x1_0000_00fa, u32::MAX - 249, 2);
    // Stamped just after the clock was read.
    check(1000, 1001, 0);
    // A year of silence at 100 Hz still fits in 32 bits; so do 198 days at 250 Hz.
    check(4_294_750_000, 0, 17_179_000);
}

#[test]
fn settings_of_zero_are_the_namespaces() {
    let keepalive = |change: fn(&mut Socket)| converted(change).keepalive.unwrap();
    let off = keepalive(|_| {});
    assert_eq!((off.setting, off.idle.as_secs()), (Setting::Off, 7200));
    let default = keepalive(|s| s.flags = flag::KEEPALIVE);
    let expected = (Setting::Default, 7200, 75, 9);
    let all = |k: Keepalive| (k.setting, k.idle.as_secs(), k.interval.as_secs(), k.probes);
    assert_eq!(all(default), expected);
    let custom = keepalive(|s| {
        s.flags = flag::KEEPALIVE;
        s.keepalive_time = 5 * 250;
    });
    assert_eq!(all(custom), (Setting::Custom, 5, 75, 9));
    let foreign = converted(|s| s.net.inum = 8);
    assert_eq!(foreign.keepalive, Err(Unknown::NamespaceUnread));
}

#[test]
fn a_namespace_met_between_walks_is_learnt() {
    let mut converter = converter();
    assert!(converter.knows(7) && !converter.knows(8));
    let mut young = Net::new_zeroed();
    young.key.inum = 8;
    young.keepalive_time = 250;
    converter.learn(&[young]);
    let connection = converter.connection(&socket(|s| s.net.inum = 8)).unwrap();
    assert_eq!(connection.keepalive.unwrap().idle, Duration::from_secs(1));
    assert!(converter.knows(7), "the others stay known");
}

#[test]
fn the_latest_probe_is_found_by_its_timer() {
    let probed = |change: fn(&mut Socket)| {
        converted(|s| {
            s.flags = flag::KEEPALIVE | flag::KEEPALIVE_TIMER;
            s.keepalive_time = 5 * 250;
            s.keepalive_interval = 3 * 250;
            s.probes_out = 2;
            s.keepalive_expires = s.jiffies + 250;
            s.rcv_tstamp = 0_u32.wrapping_sub(2500);
            s.lrcvtime = s.rcv_tstamp;
            change(s);
        })
        .outstanding
        .unwrap()
    };
    let silent = probed(|_| {});
    assert_eq!(
        (silent.probes, silent.latest_probe),
        (2, Some(Duration::from_secs(2)))
    );
    // The first probe was due 7 s ago, and was answered by data that left the count as it was.
    let one = probed(|s| s.lrcvtime = 0_u32.wrapping_sub(7 * 250));
    assert_eq!(one.probes, 1);
    let heard = probed(|s| s.lrcvtime = 0_u32.wrapping_sub(250));
    assert_eq!((heard.probes, heard.latest_probe), (0, None));
    let window = probed(|s| {
        s.pending = PROBE0;
        s.rto = 50;
        s.backoff = 3;
        s.timer_expires = s.jiffies + 250;
    });
    assert_eq!(window.latest_probe, Some(Duration::from_millis(600)));
}

#[test]
fn addresses_keep_their_family() {
    assert_eq!(converted(|_| {}).local.ip().to_string(), "127.0.0.1");
    let mapped = converted(|s| s.family = 10);
    assert_eq!(mapped.local.ip().to_string(), "::ffff:127.0.0.1");
}

#[test]
fn a_time_wait_is_inbound_where_somebody_listens() {
    let mut converter = converter();
    let time_wait = socket(|s| {
        s.flags = flag::TIME_WAIT;
        s.state = 6;
        s.direction = direction::NONE;
        s.local_port = 40_000;
        s.remote_port = 50_000;
    });
    let mut direction = |socket: &Socket| converter.connection(socket).unwrap().direction;
    assert_eq!(direction(&time_wait), Direction::None);
    direction(&socket(|s| {
        s.state = 10;
        s.local_port = 40_000;
    }));
    assert_eq!(direction(&time_wait), Direction::Inbound);
}

#[test]
fn a_state_of_the_future_is_left_out() {
    assert_eq!(converter().connection(&socket(|s| s.state = 13)), None);
}

#[test]
fn hz_is_found_on_this_kernel_or_refused() {
    let mut own = Net::new_zeroed();
    own.keepalive_time = 1;
    assert!(hz(&own).is_err());
}

/// The states of the kernel, and the flag that the walk sets of a child without a struct socket and of a
/// request whose ACK came.
const NEW_SYN_RECV: u8 = 12;
const LISTEN: u8 = 10;

fn listener(held: u32, limit: u32) -> Socket {
    socket(|s| {
        s.state = LISTEN;
        s.direction = direction::NONE;
        s.local = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();
        s.local_port = 80;
        s.rcv_nxt = held;
        s.copied_seq = limit;
    })
}

#[test]
fn what_was_not_accepted_has_its_listeners_queue() {
    let child = |flags, direction| {
        socket(|s| {
            s.flags = flags;
            s.direction = direction;
            s.local_port = 80;
        })
    };
    let mut converter = converter();
    let queue = AcceptQueue::of_one(5, 4);
    let queued = child(flag::UNACCEPTED, direction::INBOUND);
    let found = converter.connection(&queued).unwrap();
    assert_eq!(found.accept_queue, Err(Unknown::ListenerUnseen));
    let met = converter.connection(&listener(5, 4)).unwrap();
    assert_eq!(
        (met.acceptance, met.accept_queue),
        (Err(Unknown::NotOfThisKind), Ok(queue))
    );
    let none = Err(Unknown::NotOfThisKind);
    let inbound = child(0, direction::INBOUND);
    let outbound = child(0, direction::OUTBOUND);
    for (socket, acceptance, expected) in [
        (queued, Ok(Acceptance::Queued), Ok(queue)),
        (inbound, Ok(Acceptance::Accepted), none),
        (
            outbound,
            none.map(|_: AcceptQueue| Acceptance::Queued),
            none,
        ),
    ] {
        let found = converter.connection(&socket).unwrap();
        assert_eq!(
            (found.acceptance, found.accept_queue),
            (acceptance, expected)
        );
    }
}

#[test]
fn an_ack_without_a_connection_waits_for_data_or_for_room() {
    let request = |acked: bool, defer_accept, held, has_queue| {
        let found = converted(|s| {
            s.state = NEW_SYN_RECV;
            s.flags = flag::REQUEST | if acked { flag::UNACCEPTED } else { 0 };
            s.direction = direction::INBOUND;
            s.defer_accept = defer_accept;
            s.rcv_nxt = held;
            s.copied_seq = 4;
            s.has_queue = has_queue;
        });
        (found.acceptance, found.accept_queue.map(|queue| queue.held))
    };
    assert_eq!(request(false, 0, 5, 1), (Ok(Acceptance::AwaitsAck), Ok(5)));
    assert_eq!(request(true, 0, 5, 1), (Ok(Acceptance::AckDropped), Ok(5)));
    assert_eq!(request(true, 0, 3, 1), (Ok(Acceptance::AckDropped), Ok(3)));
    assert_eq!(request(true, 3, 3, 1), (Ok(Acceptance::AwaitsData), Ok(3)));
    assert_eq!(request(true, 3, 5, 1), (Ok(Acceptance::AckDropped), Ok(5)));
    let unknown = Unknown::NotOnThisKernel;
    assert_eq!(request(true, 0, 5, 0), (Err(unknown), Err(unknown)));
}
