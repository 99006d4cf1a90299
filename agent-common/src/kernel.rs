//! What the agent reads from the running kernel's BTF and hands to the programs at load. There are no
//! defaults: what the kernel lacks is [`ABSENT`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel_fields;

/// The kernel has no such field, argument or value.
pub const ABSENT: u32 = u32::MAX;

/// The type of an embedded object of which only the address is used.
#[derive(Clone, Copy, Debug)]
pub struct Embedded;

/// Whether the programs can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// They cannot.
    Required,
    /// They can: [`ABSENT`] stands for it.
    Optional,
}

/// Where one constant of the kernel stands in [`Kernel`].
pub type Slot = fn(&mut Kernel) -> &mut u32;

/// A field whose offset the programs use.
#[derive(Clone, Copy, Debug)]
pub struct KernelField {
    /// The structure.
    pub owner: &'static str,
    /// The member, of a member, …
    pub path: &'static str,
    /// Bytes that the programs read, 0 if only the address is used.
    pub size: u32,
    /// Whether it has to be there.
    pub presence: Presence,
    /// Where its offset goes.
    pub slot: Slot,
}

/// An enumerator whose value the programs use.
#[derive(Clone, Copy, Debug)]
pub struct KernelValue {
    /// Its name.
    pub name: &'static str,
    /// Whether it has to be there.
    pub presence: Presence,
    /// Where its value goes.
    pub slot: Slot,
}

/// A structure whose size the programs use; it may be absent.
#[derive(Clone, Copy, Debug)]
pub struct KernelSize {
    /// Its name.
    pub structure: &'static str,
    /// Where its size goes.
    pub slot: Slot,
}

macro_rules! define {
    (
        fields {$(
            $owner:ident {$(
                $(#[$doc:meta])* $name:ident: $type:ty = $presence:ident($path:literal);
            )*}
        )*}
        sizes {$($size:ident = $structure:literal;)*}
        values {$($value:ident = $value_presence:ident($enumerator:literal);)*}
    ) => {
        /// Byte offsets, sizes, argument positions and values of the running kernel; the global
        /// `KERNEL`. Offsets are from the start of the owner.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Kernel {
            /// Address of `tcp_keepalive_timer`, 0 if unknown: `timer->function` is compared with it.
            pub keepalive_timer_fn: u64,
            /// Address of `tcp_write_timer`, 0 if unknown.
            pub write_timer_fn: u64,
            /// Address of `reqsk_timer_handler`, 0 if unknown.
            pub request_timer_fn: u64,
            /// Nanoseconds of a jiffy, 0 if unknown.
            pub jiffy_ns: u64,
            /// Offset of the keepalive timer, a timer_list: of `inet_connection_sock` or of `sock`.
            pub keepalive_timer: u32,
            /// Offset of the retransmit timer, a timer_list: of `sock` or of `inet_connection_sock`.
            pub retransmit_timer: u32,
            /// Offset of the byte of `request_sock` that holds `num_timeout` (seven bits; `syncookie`
            /// beside it never changes).
            pub num_timeout: u32,
            /// Offset of the byte of `inet_request_sock` that holds `acked`.
            pub acked: u32,
            /// The bit of that byte; 0 if unknown.
            pub acked_bit: u32,
            /// Position of the `enum sk_rst_reason` argument of `tcp_send_active_reset`, from 0.
            pub active_reset_reason_arg: u32,
            /// The same of `tcp_v4_send_reset` and `tcp_v6_send_reset`.
            pub reply_reset_reason_arg: u32,
            /// The same of the tracepoint `tcp_send_reset`.
            pub trace_reset_reason_arg: u32,
            /// End of the last field of `sock_common` in the table; what lies beyond may be on another
            /// cache line.
            pub common_size: u32,
            $($(
                #[doc = concat!("Offset of `", stringify!($owner), ".", $path, "`.")]
                $(#[$doc])*
                pub $name: u32,
            )*)*
            $(
                #[doc = concat!("Size of `", $structure, "`.")]
                pub $size: u32,
            )*
            $(
                #[doc = concat!("Value of `", $enumerator, "`.")]
                pub $value: u32,
            )*
            /// Zero.
            pub padding: [u32; PADDING],
        }

        /// Every field whose offset is asked for.
        pub const FIELDS: &[KernelField] = &[$($(KernelField {
            owner: stringify!($owner),
            path: $path,
            size: size_of::<$type>() as u32,
            presence: Presence::$presence,
            slot: |kernel| &mut kernel.$name,
        },)*)*];

        /// Every structure whose size is asked for.
        pub const SIZES: &[KernelSize] = &[$(KernelSize {
            structure: $structure,
            slot: |kernel| &mut kernel.$size,
        },)*];

        /// Every enumerator whose value is asked for.
        pub const VALUES: &[KernelValue] = &[$(KernelValue {
            name: $enumerator,
            presence: Presence::$value_presence,
            slot: |kernel| &mut kernel.$value,
        },)*];

        /// The type that the programs read of each field.
        #[allow(non_camel_case_types, reason = "the fields' own names")]
        pub mod field_type {
            use super::Embedded;
            $($(
                #[doc = concat!("Of `", stringify!($owner), ".", $path, "`.")]
                pub type $name = $type;
            )*)*
        }
    };
}
kernel_fields!(define);

/// Constants of 32 bits that stand in [`Kernel`] beside those of the table.
const OTHERS: usize = 9;
/// What fills [`Kernel`] up to a multiple of 8 bytes.
const PADDING: usize = (OTHERS + FIELDS.len() + SIZES.len() + VALUES.len()) % 2;
