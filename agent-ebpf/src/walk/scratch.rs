//! What a walk keeps between its steps and while it reads one socket.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use halfopen_common::{Class, Destination, FastPathLayout, Socket, flag};

use crate::{
    fields,
    kernel::kernel,
    read::Offset,
    sock::{AF_INET6, mapped},
};

/// Heads of buckets read at once.
pub const HEADS: usize = 32;

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
#[map]
static CURSOR: PerCpuArray<Cursor> = PerCpuArray::with_max_entries(1, 0);

/// What is too large for the stack.
#[repr(C)]
pub struct Scratch {
    pub heads: [u64; HEADS],
    pub copies: [u8; FastPathLayout::ROOM],
    pub socket: Socket,
    pub class: Class,
    pub destination: Destination,
}

/// What one step needs of the ones before. Kept in a map, not on the stack: of a map's value the
/// verifier knows nothing, so that it verifies one step for all.
#[repr(C)]
pub struct Cursor {
    /// The network namespace last met, which most sockets share with their neighbours.
    pub net: u64,
    /// The cgroup last met.
    pub cgroup: u64,
    /// Its id.
    pub cgroup_id: u64,
    /// The socket's node in its chain; 0 before a bucket's first.
    pub node: u64,
    /// Sockets passed in this bucket.
    pub passed: u32,
    /// Buckets finished in this run.
    pub buckets: u32,
    /// `ns.inum` of `net`.
    pub inum: u32,
    /// Which group of heads was read.
    pub heads_read: u32,
    /// The ports of `net` that connect() chooses from.
    pub port_range: u32,
    pub padding: u32,
}

impl Scratch {
    /// A field of the `sock_common` that was copied: it begins the head.
    #[inline(always)]
    pub fn common<T: Copy>(&self, offset: Offset<T>) -> T {
        self.copied(offset.bytes())
    }

    /// Both addresses, the local one first.
    #[inline(always)]
    pub fn addresses(&self) -> [[u8; 16]; 2] {
        if self.common(fields::family()) == AF_INET6 && !fields::local6().is_absent() {
            [
                self.common(fields::local6()),
                self.common(fields::remote6()),
            ]
        } else {
            [
                mapped(self.common(fields::local4())),
                mapped(self.common(fields::remote4())),
            ]
        }
    }

    /// Makes `destination` that of the socket whose `sock_common` was copied.
    #[inline(always)]
    pub fn locate(&mut self, netns: u32) {
        let [local, remote] = self.addresses();
        self.destination = Destination {
            local,
            remote,
            netns,
            remote_port: u16::from_be(self.common(fields::remote_port())),
            padding: 0,
        };
    }

    /// A field of what was copied.
    #[inline(always)]
    pub fn copied<T: Copy>(&self, position: u32) -> T {
        let start = self.copies.as_ptr();
        // SAFETY: the agent's plan has every position within the copies.
        let field = unsafe { start.add(position as usize) };
        // SAFETY: as above; the types asked for are plain numbers.
        unsafe { field.cast::<T>().read_unaligned() }
    }
}

/// This processor's room for one socket.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// This processor's place in the walk.
#[inline(always)]
pub fn cursor() -> Option<*mut Cursor> {
    CURSOR.get_ptr_mut(0)
}

/// One bit of [`flag`], if it is to be set.
#[inline(always)]
pub fn bit(is_set: bool, bit: u8) -> u8 {
    u8::from(is_set) * bit
}

/// SO_KEEPALIVE and SOCK_DEAD as bits of [`flag`].
#[inline(always)]
pub fn flags(scratch: &Scratch) -> u8 {
    let flags = scratch.common(fields::flags());
    let keepalive = flags >> (kernel!(flag_keepopen) & 63) & 1;
    let dead = flags >> (kernel!(flag_dead) & 63) & 1;
    bit(keepalive != 0, flag::KEEPALIVE) | bit(dead != 0, flag::DEAD)
}

/// What is charged, which the kernel counts in an int and may let go below 0 for a moment: without a
/// branch, which would double the verifier's work each time.
#[inline(always)]
pub fn charged(bytes: i32) -> u32 {
    (bytes & !(bytes >> 31)) as u32
}

/// Bytes of a full socket's own object.
#[inline(always)]
pub fn object_size(family: u16) -> u32 {
    if family == AF_INET6 {
        kernel!(tcp6_sock_size)
    } else {
        kernel!(tcp_sock_size)
    }
}
