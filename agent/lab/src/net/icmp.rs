//! Reports by ICMP that a host cannot be reached, when it is asked to: a firewall would do so at once.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddrV4},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Error, wait::LIMIT};

/// ETH_P_IP (include/uapi/linux/if_ether.h), in network order.
const ETH_P_IP: i32 = 0x0800_u16.to_be() as i32;
/// Destination Unreachable, Host Unreachable (RFC 792).
const HOST_UNREACHABLE: [u8; 8] = [3, 1, 0, 0, 0, 0, 0, 0];
/// Of an IPv4 header without options; a segment of the lab has none.
const HEADER: usize = 20;
/// What of the segment goes back behind its header: ports and sequence number.
const BEGINNING: usize = 8;
/// IPPROTO_TCP.
const TCP: u8 = 6;

/// One end of a cable, listened to.
#[derive(Debug)]
pub struct IcmpResponder {
    /// What arrives, firewall or not.
    tap: Socket,
    /// The way for ICMP.
    icmp: Socket,
}

impl IcmpResponder {
    /// Listens from now on, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Without the right to raw sockets.
    pub fn tap() -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            let tap = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(ETH_P_IP)))?;
            tap.set_read_timeout(Some(LIMIT))?;
            let icmp = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            Ok(Self { tap, icmp })
        };
        open().map_err(|source| Error::needs_root("open raw sockets", source))
    }

    /// Tells the sender of the next segment with data that its host cannot be reached.
    ///
    /// # Errors
    /// When no segment came, or ICMP cannot be sent.
    pub fn answer_data(&self) -> Result<(), Error> {
        self.answer(|segment| segment.len() > HEADER + usize::from(segment[HEADER + 12] >> 4) * 4)
    }

    /// The same of the next SYN-ACK.
    ///
    /// # Errors
    /// As [`Self::answer_data`].
    pub fn answer_syn_ack(&self) -> Result<(), Error> {
        const SYN_ACK: u8 = 0x12;
        self.answer(|segment| segment[HEADER + 13] & SYN_ACK == SYN_ACK)
    }

    fn answer(&self, is_meant: impl Fn(&[u8]) -> bool) -> Result<(), Error> {
        let failed = |source| Error::socket("answer a segment by ICMP", source);
        let mut packet = [0; 256];
        loop {
            let length = (&self.tap).read(&mut packet).map_err(failed)?;
            let segment = &packet[..length];
            if segment.len() < HEADER + 20 || segment[9] != TCP || !is_meant(segment) {
                continue;
            }
            let [a, b, c, d] = [segment[12], segment[13], segment[14], segment[15]];
            let sender = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 0);
            let message = message(&segment[..HEADER + BEGINNING]);
            self.icmp
                .send_to(&message, &sender.into())
                .map_err(failed)?;
            return Ok(());
        }
    }
}

fn message(segment: &[u8]) -> Vec<u8> {
    let mut message = [&HOST_UNREACHABLE, segment].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_sums_up_to_nothing() {
        let message = message(&[0x45, 0, 0, 41, 1, 2, 3]);
        assert_eq!(checksum(&message), 0);
        assert_eq!(&message[..2], &[3, 1]);
    }
}
