//! Answers of the kernel, made by hand, for tests to change.

use zerocopy::IntoBytes;

use super::message::{Answer, Endpoints, Facts, Info, Memory};

/// A netlink message of this type with these flags.
pub fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // sequence and sender
    bytes.extend(payload);
    pad(bytes)
}

/// A netlink attribute.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    pad(bytes)
}

fn pad(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// IPv4 10.0.0.1:443 to 10.0.0.2:50000, ESTABLISHED, no timer, held by an application of uid 1000.
pub fn facts() -> Facts {
    let mut ends = Endpoints {
        local_port: 443_u16.to_be_bytes(),
        remote_port: 50_000_u16.to_be_bytes(),
        cookie: [7, 0],
        ..Endpoints::default()
    };
    ends.local[..4].copy_from_slice(&[10, 0, 0, 1]);
    ends.remote[..4].copy_from_slice(&[10, 0, 0, 2]);
    Facts {
        family: 2,
        state: 1,
        ends,
        uid: 1000,
        inode: 4711,
        ..Facts::default()
    }
}

/// Heard 5 s ago, data received 7 s and sent 9 s ago; nothing outstanding; 70 GB
/// sent and 678 bytes received.
pub fn info() -> Info {
    let mut info = Info::default();
    info.rto_us = 204_000;
    info.rtt_us = 100;
    info.last_ack_received_ms = 5_000;
    info.last_data_received_ms = 7_000;
    info.last_data_sent_ms = 9_000;
    info.send_window = 65_536;
    info.bytes_sent = 70_000_000_000;
    info.bytes_received = 678;
    info
}

/// A full socket.
pub fn answer() -> Answer {
    Answer {
        facts: facts(),
        info: Some(info()),
        memory: Some(Memory::default()),
        cgroup: Some(99),
        mptcp: false,
    }
}

/// The message of a full socket, with all attributes that are read.
pub fn socket() -> Vec<u8> {
    let mut payload = facts().as_bytes().to_vec();
    payload.extend(attribute(8, &[0])); // INET_DIAG_SHUTDOWN
    payload.extend(attribute(21, &99_u64.to_ne_bytes()));
    // sk_rmem_alloc and so on to sk_omem_alloc, then backlog and drops.
    let memory: [i32; 9] = [1, 20, 300, 4_000, -5, 60_000, 7, 8, 9];
    payload.extend(attribute(7, memory.as_bytes()));
    let mut info = info().as_bytes().to_vec();
    info.extend([0xff; 16]); // what newer kernels add
    payload.extend(attribute(2, &info));
    payload.extend(attribute(19, &attribute(1, b"mptcp\0")));
    message(20, 2, &payload)
}
