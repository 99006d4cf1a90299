use std::fmt::Write as _;

use super::*;
use crate::sockets::sock_diag::fixture::{attribute, facts, info, message, socket};

/// What reading this datagram comes to: ports of what it tells of, and where the dump stands.
fn outcome(datagram: &[u8]) -> String {
    let mut actual = String::new();
    let progress = read(datagram, |answer| {
        let port = u16::from_be_bytes(answer.facts.ends.local_port);
        write!(actual, "{port} ").unwrap();
    });
    match progress {
        Ok(progress) => format!("{actual}{progress:?}"),
        Err(error) => format!("{actual}{:?}", error.kind()),
    }
}

#[track_caller]
fn check(datagram: &[u8], expected: &str) {
    assert_eq!(outcome(datagram), expected);
}

fn end(number: i32) -> Vec<u8> {
    message(NLMSG_DONE, 2, &number.to_ne_bytes())
}

fn refusal(number: i32) -> Vec<u8> {
    let mut payload = number.to_ne_bytes().to_vec();
    payload.extend([0; 16]); // of the request's header
    message(NLMSG_ERROR, 0, &payload)
}

#[test]
fn the_request_has_the_kernels_form() {
    for family in [2, 10] {
        let bytes = request(family);
        assert_eq!(bytes.len(), 16 + 56);
        assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[4..6], 20_u16.to_ne_bytes(), "SOCK_DIAG_BY_FAMILY");
        assert_eq!(bytes[6..8], 0x301_u16.to_ne_bytes(), "a dump");
        assert_eq!(bytes[16..20], [family, 6, 0x42, 0]);
        assert_eq!(bytes[20..24], 0xfff_u32.to_ne_bytes(), "not all bits");
        assert!(bytes[24..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_socket_is_read_with_its_attributes() {
    let mut answers = Vec::new();
    let progress = read(&socket(), |answer| answers.push(answer)).unwrap();
    assert_eq!(progress, Progress::Open);
    let [answer] = answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(answer.facts.as_bytes(), facts().as_bytes());
    assert_eq!(answer.info.unwrap().as_bytes(), info().as_bytes());
    let memory = answer.memory.unwrap();
    assert_eq!(
        [
            memory.received,
            memory.reserved,
            memory.queued,
            memory.options
        ],
        [1, -5, 60_000, 7]
    );
    assert_eq!(answer.cgroup, Some(99));
    assert!(answer.mptcp);
}

#[test]
fn attributes_that_are_missing_or_short_are_unknown() {
    let check = |attributes: &[u8]| {
        let payload = [facts().as_bytes(), attributes].concat();
        let mut answers = Vec::new();
        read(&message(20, 2, &payload), |answer| answers.push(answer)).unwrap();
        let [answer] = answers[..] else {
            panic!("{answers:?}");
        };
        assert!(answer.info.is_none(), "{answer:?}");
        assert!(answer.memory.is_none(), "{answer:?}");
        assert!(answer.cgroup.is_none(), "{answer:?}");
        assert!(!answer.mptcp, "{answer:?}");
    };
    check(&[]);
    check(&attribute(2, &[1; 231]));
    check(&attribute(2, &[]));
    check(&attribute(7, &[1; 27]));
    check(&attribute(21, &[1; 7]));
    check(&attribute(19, &[]));
    check(&attribute(19, &attribute(1, b"tls\0")));
    check(&attribute(19, &attribute(1, b"mptcp")));
    check(&attribute(19, &attribute(2, b"mptcp\0")));
    check(&attribute(400, &[1; 300]));
}

#[test]
fn many_messages_in_a_datagram() {
    check(&[], "Open");
    check(&socket(), "443 Open");
    check(&socket().repeat(3), "443 443 443 Open");
    check(&[socket(), end(0)].concat(), "443 Complete");
    // Nothing counts after the end.
    check(&[end(0), socket()].concat(), "Complete");
    check(
        &[message(NLMSG_NOOP, 0, &[]), socket()].concat(),
        "443 Open",
    );
    // An acknowledgement is no refusal.
    check(&[refusal(0), socket()].concat(), "443 Open");
    // The last message need not be padded.
    let mut unpadded = message(NLMSG_NOOP, 0, &[0; 4]);
    unpadded[0] = 17;
    unpadded.truncate(17);
    check(&unpadded, "Open");
}

#[test]
fn an_interrupted_dump_is_torn() {
    let interrupted = |kind, payload: &[u8]| message(kind, 2 | NLM_F_DUMP_INTR, payload);
    let actual = interrupted(20, facts().as_bytes());
    check(&[socket(), actual].concat(), "443 Torn");
    let ended = interrupted(NLMSG_DONE, &[0; 4]);
    check(&[socket(), ended].concat(), "443 Torn");
    check(&message(NLMSG_OVERRUN, 0, &[]), "Torn");
}

#[test]
fn a_refusal_says_why() {
    check(&refusal(-1), "PermissionDenied");
    check(&refusal(-2), "NotFound");
    check(&refusal(-22), "InvalidInput");
    check(&[socket(), end(-2)].concat(), "443 NotFound");
    check(&refusal(i32::MIN), &outcome(&refusal(-i32::MAX)));
    for number in [-2, -22] {
        let error = read(&refusal(number), |_| {}).unwrap_err();
        assert!(error.to_string().contains("tcp_diag"), "{error}");
    }
}

#[test]
fn what_is_malformed_is_an_error() {
    let with_length = |length: u32| {
        let mut bytes = socket();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    };
    for length in [0, 1, 15, u32::MAX, u32::MAX - 2, 1 << 31, 70_000] {
        check(&with_length(length), "InvalidData");
        check(&[socket(), with_length(length)].concat(), "443 InvalidData");
    }
    // A message that ends inside what it tells of a socket, or inside an attribute.
    for length in [16, 17, 16 + 71, 16 + 72 + 1, 16 + 72 + 3, 16 + 72 + 4] {
        check(&with_length(length), "InvalidData");
    }
    // Attributes with lengths of their own making.
    for length in [0_u16, 3, 9, 500, u16::MAX] {
        let mut hostile = attribute(2, &[0; 4]);
        hostile[..2].copy_from_slice(&length.to_ne_bytes());
        let payload = [facts().as_bytes(), &hostile].concat();
        check(&message(20, 2, &payload), "InvalidData");
        let payload = [facts().as_bytes(), &attribute(19, &hostile)].concat();
        check(&message(20, 2, &payload), "InvalidData");
    }
    check(&message(NLMSG_DONE, 2, &[0; 3]), "InvalidData");
    check(&message(NLMSG_ERROR, 0, &[]), "InvalidData");
    check(&message(1_000, 0, &[]), "InvalidData");
}

/// Every datagram cut short anywhere, and with any one byte changed to one of a few nasty values,
/// comes to an end of some kind.
#[test]
fn no_damage_is_fatal() {
    let datagram = [socket(), refusal(0), socket(), end(0)].concat();
    for length in 0..datagram.len() {
        outcome(&datagram[..length]);
    }
    for position in 0..datagram.len() {
        for value in [0, 1, 3, 4, 15, 0x7f, 0x80, 0xff] {
            let mut damaged = datagram.clone();
            damaged[position] = value;
            outcome(&damaged);
        }
    }
}
