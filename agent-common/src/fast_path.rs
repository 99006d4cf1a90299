//! How the few fields by which most sockets are summed are read in as few copies as the kernel's
//! layout allows: the agent plans the copies, the walk makes them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{Kernel, field_type};

/// A part of a socket that is copied at once: each goes to its own place, [`FastPathLayout::PLACE`]
/// bytes apart from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyRange {
    /// From the socket's beginning, bytes.
    pub offset: u32,
    /// Bytes, 0 for none.
    pub length: u32,
}

/// A field of a socket that is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopiedField {
    /// Bytes.
    pub size: u32,
    /// Its offset in the socket.
    pub offset: fn(&Kernel) -> u32,
    /// Where its position in the copies is noted.
    pub position: fn(&mut FastPathLayout) -> &mut u32,
}

macro_rules! define {
    (always {$($always:ident,)*} keepalive {$($keepalive:ident,)*}) => {
        /// The plan; the global `FAST_PATH`. The positions are those in the copies, or
        /// [`crate::ABSENT`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct FastPathLayout {
            /// Bytes copied of every socket from its beginning: its `sock_common`, and what follows
            /// closely.
            pub head: u32,
            /// Copied of every established socket.
            pub always: [CopyRange; FastPathLayout::ALWAYS],
            /// Copied where SO_KEEPALIVE is on, after the others.
            pub keepalive: [CopyRange; FastPathLayout::KEEPALIVE],
            $(
                #[doc = concat!("Position of [`Kernel::", stringify!($always), "`].")]
                pub $always: u32,
            )*
            $(
                #[doc = concat!("Position of [`Kernel::", stringify!($keepalive), "`].")]
                pub $keepalive: u32,
            )*
            /// 1 if all of this could be laid out, else 0: then nothing is summed.
            pub usable: u32,
        }

        impl FastPathLayout {
            /// Fields read of every established socket.
            pub const ALWAYS_FIELDS: &[CopiedField] = &[$(CopiedField {
                size: size_of::<field_type::$always>() as u32,
                offset: |kernel| kernel.$always,
                position: |layout| &mut layout.$always,
            },)*];
            /// Fields read where SO_KEEPALIVE is on.
            pub const KEEPALIVE_FIELDS: &[CopiedField] = &[$(CopiedField {
                size: size_of::<field_type::$keepalive>() as u32,
                offset: |kernel| kernel.$keepalive,
                position: |layout| &mut layout.$keepalive,
            },)*];
        }
    };
}
define! {
    always {
        packets_out,
        write_seq,
        snd_nxt,
        retransmits,
        probes_out,
        lrcvtime,
        lsndtime,
        rmem_alloc,
        max_ack_backlog,
        sk_socket,
        cgroup,
        rto,
        rto_max,
        user_timeout,
    }
    keepalive {
        keepalive_time,
        keepalive_intvl,
        keepalive_probes,
    }
}

impl FastPathLayout {
    /// Room for the head, bytes; the copies follow it.
    pub const HEAD: u32 = 256;
    /// Room for one copy, bytes.
    pub const PLACE: u32 = 128;
    /// Ranges of every socket.
    pub const ALWAYS: usize = 6;
    /// Ranges of one with keepalive.
    pub const KEEPALIVE: usize = 3;
    /// Room for the head and all copies, bytes.
    pub const ROOM: usize =
        Self::HEAD as usize + (Self::ALWAYS + Self::KEEPALIVE) * Self::PLACE as usize;
}
