//! Whole frames of a device, as a bridge takes and gives them.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, Socket, Type};

/// ETH_P_ALL (include/uapi/linux/if_ether.h), in network order.
const ETH_P_ALL: u16 = 0x0003_u16.to_be();

/// PACKET_VNET_HDR (include/uapi/linux/if_packet.h): what a device still has to do to a frame, such as its checksum,
/// stands before it, and goes with it.
const PACKET_VNET_HDR: libc::c_int = 15;
/// struct virtio_net_hdr.
const VNET_HEADER: usize = 10;
const ETHERNET_HEADER: usize = 14;

/// In bytes: thousands of frames while a slow machine does something else.
const BUFFER: usize = 8 << 20;

/// A frame of an unsegmented packet, with what stands before it.
#[derive(Debug, Clone)]
pub(super) struct Frame(Vec<u8>);

/// What a frame carries of a TCP connection over IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CarriedSegment {
    /// The sender's and the receiver's.
    pub(super) ports: (u16, u16),
    /// The whole packet's length in bytes.
    pub(super) length: usize,
    /// Whether it carries data.
    pub(super) has_data: bool,
}

impl Frame {
    /// What it carries, if that is a segment.
    pub(super) fn segment(&self) -> Option<CarriedSegment> {
        const IPV4: [u8; 2] = [0x08, 0x00];
        let (headers, ip) = self.0.split_at_checked(VNET_HEADER + ETHERNET_HEADER)?;
        if !headers.ends_with(&IPV4) {
            return None;
        }
        let header = usize::from(ip.first()? & 0xf) * 4;
        if i32::from(*ip.get(9)?) != libc::IPPROTO_TCP {
            return None;
        }
        let word = |offset: usize| -> Option<u16> {
            Some(u16::from_be_bytes(
                ip.get(offset..offset + 2)?.try_into().ok()?,
            ))
        };
        let length = usize::from(word(2)?);
        let tcp_header = usize::from(ip.get(header + 12)? >> 4) * 4;
        Some(CarriedSegment {
            ports: (word(header)?, word(header + 2)?),
            length,
            has_data: length > header + tcp_header,
        })
    }
}

/// All frames of one device.
#[derive(Debug)]
pub(super) struct FrameSocket(Socket);

impl FrameSocket {
    /// Takes what the device with this name, of the calling thread's namespace, receives.
    pub(super) fn open(device: &str) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETH_P_ALL));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        let on: libc::c_int = 1;
        let index = if_nametoindex(device)?;
        let address = libc::sockaddr_ll {
            sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or_default(),
            sll_protocol: ETH_P_ALL,
            sll_ifindex: libc::c_int::try_from(index).unwrap_or_default(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = |size| libc::socklen_t::try_from(size).unwrap_or_default();
        // SAFETY: the descriptor is open as long as the socket, and the value, of that length, outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_VNET_HDR,
                (&raw const on).cast(),
                length(size_of_val(&on)),
            )
        };
        Errno::result(result)?;
        // SAFETY: as above, of an address.
        let result = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                length(size_of_val(&address)),
            )
        };
        Errno::result(result)?;
        Ok(Self(socket))
    }

    /// The next frame, if there is one.
    pub(super) fn take(&self, buffer: &mut [u8]) -> io::Result<Option<Frame>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(Frame(buffer[..length].to_vec()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame; a device whose queue is full drops it, as any path may.
    pub(super) fn give(&self, frame: &Frame) -> io::Result<()> {
        match (&self.0).write(&frame.0) {
            Err(error)
                if error.kind() != io::ErrorKind::WouldBlock
                    && error.raw_os_error() != Some(libc::ENOBUFS) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

impl AsFd for FrameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, payload: &[u8]) -> Frame {
        let mut bytes = vec![0; VNET_HEADER + ETHERNET_HEADER - 2];
        bytes.extend(ethertype.to_be_bytes());
        let length = 40 + u16::try_from(payload.len()).unwrap();
        let mut ip = [0; 40];
        (ip[0], ip[9], ip[32]) = (0x45, 6, 5 << 4);
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[20..22].copy_from_slice(&7_u16.to_be_bytes());
        ip[22..24].copy_from_slice(&9_u16.to_be_bytes());
        bytes.extend(ip);
        bytes.extend(payload);
        Frame(bytes)
    }

    #[test]
    fn a_segment_is_read() {
        let read = |payload: &[u8]| frame(0x0800, payload).segment().unwrap();
        let expected = CarriedSegment {
            ports: (7, 9),
            length: 42,
            has_data: true,
        };
        assert_eq!(read(b"ab"), expected);
        assert!(!read(b"").has_data);
        assert_eq!(frame(0x0806, b"").segment(), None);
        let whole = frame(0x0800, b"");
        let cut = Frame(whole.0[..whole.0.len() - 8].to_vec());
        assert_eq!(cut.segment(), None);
    }
}
