//! The bytes that the kernel programs and the agent agree on, each defined once.
//! It must never hold behaviour: only layouts, their sizes, and the keys and numbers both sides use.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod counts;
mod ending;
mod held;
pub mod layout;
mod notice;
mod offsets;
mod record;
mod walk;

pub use counts::{
    Event, GROUP_OVERFLOW_DIRECTION, GroupCounts, GroupKey, Loss, NetCounts, NetKey, ResetReason,
    Tally, direction,
};
pub use ending::Ending;
pub use held::Held;
pub use notice::{Notice, SILENCE_BOUNDS_S, SilenceTable, Silences, keepalive, told, what};
pub use offsets::{ABSENT, Kernel, Quick, Stretch, switch};
pub use record::{Outstanding, Record, state};
pub use walk::{Class, ClassSum, DUMP_STOPPED, EPHEMERAL, Net, Socket, Walk, flag, table};
