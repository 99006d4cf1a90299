//! What passes a host's cable, whatever its firewall does and its counters say: packets are taken behind the
//! output's firewall and before the input's.

use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{
        self, ARPHRD_ETHER, BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_RET,
        BPF_W, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, SKF_AD_HATYPE, SKF_AD_OFF, ioctl,
        timespec,
    },
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{Error, observe::snmp::Counters};

/// Segments with RST that left the host.
pub const RST_SENT: &str = "captured RST sent";
/// Segments with RST that reached the host.
pub const RST_RECEIVED: &str = "captured RST received";
/// Small segments with data that left the host.
pub const DATA_SENT: &str = "captured data sent";
/// Small segments with data that reached the host.
pub const DATA_RECEIVED: &str = "captured data received";
/// Of the small segments with data that left the host those that no data and no ACK has followed from its peer.
pub const DATA_UNANSWERED: &str = "captured data unanswered";
/// Segments of the peer that came while small segments of the host waited for an answer.
pub const ANSWERS: &str = "captured answers";
/// Of these the ones that came so late that a keepalive probe that waited for them had made a suspect of the peer.
/// On a machine that stands still for a moment there are some.
pub const LATE_FOR_KEEPALIVE: &str = "captured answers that were late for a keepalive probe";
/// The same for a window probe.
pub const LATE_FOR_WINDOW: &str = "captured answers that were late for a window probe";
/// Segments with nothing but an ACK that left the host.
pub const ACK_SENT: &str = "captured ACK sent";
/// Segments with nothing but an ACK that reached the host.
pub const ACK_RECEIVED: &str = "captured ACK received";
/// ICMP messages that left the host and say that something is unreachable.
pub const UNREACHABLE_SENT: &str = "captured unreachable sent";
/// ICMP messages that reached the host and say that something is unreachable.
pub const UNREACHABLE_RECEIVED: &str = "captured unreachable received";

/// Segments with RST: those sent, those received.
const RESETS: [&str; 2] = [RST_SENT, RST_RECEIVED];
const DATA: [&str; 2] = [DATA_SENT, DATA_RECEIVED];
const ACKS: [&str; 2] = [ACK_SENT, ACK_RECEIVED];
const UNREACHABLE: [&str; 2] = [UNREACHABLE_SENT, UNREACHABLE_RECEIVED];

/// ETH_P_ALL (include/uapi/linux/if_ether.h), in network order: with another type a packet socket does not
/// see what is sent.
const ETH_P_ALL: i32 = 0x0003_u16.to_be() as i32;
/// include/uapi/linux/sockios.h; the C library has no name for it.
const SIOCGSTAMPNS: libc::Ioctl = 0x8907;
/// Longer packets carry data in bulk, and fill a buffer.
const LONGEST: u32 = 256;
/// The type of the device that a packet passes.
const HARDWARE_TYPE: u32 = (SKF_AD_OFF + SKF_AD_HATYPE).cast_unsigned();
/// In bytes: thousands of packets between two readings.
const BUFFER: usize = 8 << 20;

/// Destination Unreachable (RFC 792).
const ICMP_UNREACHABLE: u8 = 3;
/// Destination Unreachable (RFC 4443).
const ICMPV6_UNREACHABLE: u8 = 1;

/// A keepalive probe may be unanswered for half a second (`grace::KEEPALIVE_NS`), a window probe for a second and a
/// retransmission timeout (`grace::WINDOW_PROBE_NS`), which is never shorter than 200 ms; less what a packet takes.
const LATE: [(&str, Duration); 2] = [
    (LATE_FOR_KEEPALIVE, Duration::from_millis(450)),
    (LATE_FOR_WINDOW, Duration::from_millis(1100)),
];

const FIN_SYN: u8 = 0x03;
const RST: u8 = 0x04;

/// A capture of a host's small packets.
#[derive(Debug)]
pub struct Capture {
    tap: Socket,
    own: IpAddr,
    seen: Mutex<Seen>,
}

/// What was captured so far.
#[derive(Debug, Default)]
struct Seen {
    counters: Counters,
    /// When the first segment went out, since the epoch, that no segment of the peer has followed.
    waits_since: Option<Duration>,
}

impl Capture {
    /// Captures from now on, in the calling thread's network namespace, what passes the host with this address.
    ///
    /// # Errors
    /// Without the right to packet sockets.
    pub(crate) fn here(own: IpAddr) -> Result<Self, Error> {
        Ok(Self {
            tap: tap().map_err(|source| Error::needs_root("capture packets", source))?,
            own,
            seen: Mutex::default(),
        })
    }

    /// What was captured so far, by the names above.
    ///
    /// # Errors
    /// When the packets cannot be read.
    pub(crate) fn counts(&self) -> Result<Counters, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packet = [0; LONGEST as usize];
        let failed = |source| Error::socket("read captured packets", source);
        loop {
            match (&self.tap).read(&mut packet) {
                Ok(length) => {
                    if let Some(name) = name(&packet[..length], self.own) {
                        seen.note(name, passed(&self.tap).map_err(failed)?);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(seen.counters.clone());
                }
                Err(source) => return Err(failed(source)),
            }
        }
    }
}

impl Seen {
    fn note(&mut self, name: &'static str, at: Duration) {
        self.counters.add(name, 1);
        if name == DATA_SENT {
            self.counters.add(DATA_UNANSWERED, 1);
        }
        match name {
            DATA_SENT | ACK_SENT => {
                self.waits_since.get_or_insert(at);
            }
            DATA_RECEIVED | ACK_RECEIVED => {
                self.counters.clear(DATA_UNANSWERED);
                let Some(since) = self.waits_since.take() else {
                    return;
                };
                self.counters.add(ANSWERS, 1);
                for (late, from) in LATE {
                    if at.saturating_sub(since) >= from {
                        self.counters.add(late, 1);
                    }
                }
            }
            _ => {}
        }
    }
}

/// When the packet that was read last passed, since the epoch; from the first call on the kernel keeps it
/// (SIOCGSTAMPNS, socket(7)).
fn passed(tap: &Socket) -> io::Result<Duration> {
    let mut at = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the descriptor is open as long as the socket; the kernel writes one timespec, which outlives the call.
    let result = unsafe { ioctl(tap.as_raw_fd(), SIOCGSTAMPNS, &raw mut at) };
    match Errno::result(result) {
        Ok(_) => {
            let seconds = u64::try_from(at.tv_sec).unwrap_or_default();
            let nanos = u32::try_from(at.tv_nsec).unwrap_or_default();
            Ok(Duration::new(seconds, nanos))
        }
        // Nothing was read yet.
        Err(Errno::ENOENT) => Ok(Duration::ZERO),
        Err(error) => Err(error.into()),
    }
}

/// Without the loopback device, which shows all twice.
fn tap() -> io::Result<Socket> {
    let tap = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(ETH_P_ALL)))?;
    tap.set_nonblocking(true)?;
    passed(&tap)?;
    setsockopt(&tap, RcvBufForce, &BUFFER)?;
    tap.attach_filter(&[
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, HARDWARE_TYPE),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ARPHRD_ETHER.into()),
        instruction(BPF_LD | BPF_W | BPF_LEN, 0, 0, 0),
        instruction(BPF_JMP | BPF_JGT | BPF_K, 1, 0, LONGEST),
        instruction(BPF_RET | BPF_K, 0, 0, LONGEST),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ])?;
    Ok(tap)
}

/// Of classic BPF: an operation, how many instructions to jump over if it is true or false, and its operand.
fn instruction(operation: u32, if_true: u8, if_false: u8, operand: u32) -> SockFilter {
    let operation = u16::try_from(operation).unwrap_or(u16::MAX);
    SockFilter::new(operation, if_true, if_false, operand)
}

/// By which name a packet is counted, if it is.
fn name(packet: &[u8], own: IpAddr) -> Option<&'static str> {
    let (source, protocol, payload) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 0xf) * 4;
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            // Ethernet fills short frames up: the header has the length.
            let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
            let payload = packet.get(header..length)?;
            (IpAddr::from(Ipv4Addr::from(source)), packet[9], payload)
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let payload = packet.get(40..)?;
            (IpAddr::from(Ipv6Addr::from(source)), packet[6], payload)
        }
        _ => return None,
    };
    let [sent, received] = match protocol.into() {
        IPPROTO_TCP => of_segment(payload)?,
        IPPROTO_ICMP if payload.first()? == &ICMP_UNREACHABLE => UNREACHABLE,
        IPPROTO_ICMPV6 if payload.first()? == &ICMPV6_UNREACHABLE => UNREACHABLE,
        _ => return None,
    };
    Some(if source == own { sent } else { received })
}

fn of_segment(segment: &[u8]) -> Option<[&'static str; 2]> {
    let header = usize::from(segment.get(12)? >> 4) * 4;
    let flags = segment.get(13)?;
    if flags & RST != 0 {
        Some(RESETS)
    } else if flags & FIN_SYN != 0 {
        None
    } else if segment.len() > header {
        Some(DATA)
    } else {
        Some(ACKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [u8; 4] = [192, 0, 2, 1];
    const SERVER: [u8; 4] = [192, 0, 2, 2];

    fn v4(from: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = 20 + u8::try_from(payload.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend(from);
        packet.extend(if from == CLIENT { SERVER } else { CLIENT });
        packet.extend(payload);
        packet
    }

    fn segment(flags: u8, data: &[u8]) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[12] = 5 << 4;
        segment[13] = flags;
        segment.extend(data);
        segment
    }

    #[test]
    fn counts_by_kind_and_direction() {
        let own = IpAddr::from(CLIENT);
        for (packet, expected) in [
            (v4(CLIENT, 6, &segment(0x14, b"")), Some(RST_SENT)),
            (v4(SERVER, 6, &segment(0x04, b"")), Some(RST_RECEIVED)),
            (v4(CLIENT, 6, &segment(0x10, b"")), Some(ACK_SENT)),
            (v4(SERVER, 6, &segment(0x18, b"x")), Some(DATA_RECEIVED)),
            (v4(CLIENT, 6, &segment(0x12, b"")), None),
            (v4(CLIENT, 6, &segment(0x11, b"x")), None),
            (v4(SERVER, 1, &[3, 1, 0, 0]), Some(UNREACHABLE_RECEIVED)),
            (v4(SERVER, 1, &[8, 0, 0, 0]), None),
            (v4(CLIENT, 17, b"datagram"), None),
        ] {
            assert_eq!(name(&packet, own), expected, "{packet:?}");
        }
    }

    #[test]
    fn data_is_unanswered_until_anything_comes() {
        let mut seen = Seen::default();
        for (at_ms, name, unanswered, answers, late) in [
            (0, DATA_SENT, 1, 0, [0, 0]),
            (800, DATA_SENT, 2, 0, [0, 0]),
            (1000, ACK_SENT, 2, 0, [0, 0]),
            (1099, ACK_RECEIVED, 0, 1, [1, 0]),
            (5000, ACK_RECEIVED, 0, 1, [1, 0]),
            (6000, DATA_SENT, 1, 1, [1, 0]),
            (7000, ACK_SENT, 1, 1, [1, 0]),
            (7100, DATA_RECEIVED, 0, 2, [2, 1]),
            (8000, ACK_SENT, 0, 2, [2, 1]),
            (8449, ACK_RECEIVED, 0, 3, [2, 1]),
            (9000, RST_RECEIVED, 0, 3, [2, 1]),
        ] {
            seen.note(name, Duration::from_millis(at_ms));
            assert_eq!(seen.counters.get(DATA_UNANSWERED), unanswered, "{at_ms}");
            assert_eq!(seen.counters.get(ANSWERS), answers, "{at_ms}");
            let counted = LATE.map(|(name, _)| seen.counters.get(name));
            assert_eq!(counted, late, "{at_ms}");
        }
    }

    #[test]
    fn a_short_frame_is_filled_up_and_has_no_data_for_that() {
        let mut packet = v4(CLIENT, 6, &segment(0x10, b""));
        packet.extend([0; 6]);
        assert_eq!(name(&packet, CLIENT.into()), Some(ACK_SENT));
    }

    #[test]
    fn reads_ipv6() {
        let own = Ipv6Addr::LOCALHOST;
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        packet.extend(own.octets());
        packet.extend(Ipv6Addr::UNSPECIFIED.octets());
        packet.extend(segment(0x04, b""));
        assert_eq!(name(&packet, own.into()), Some(RST_SENT));
    }

    #[test]
    fn a_cut_packet_counts_nothing() {
        let packet = v4(CLIENT, 6, &segment(0x04, b""));
        for length in 0..packet.len() {
            assert_eq!(name(&packet[..length], CLIENT.into()), None, "{length}");
        }
    }
}
