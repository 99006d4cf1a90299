//! The bytes that the kernel programs and the agent agree on, each defined once: layouts, their sizes,
//! and the keys and numbers both sides use.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod counts;
mod ending;
mod event_record;
mod fast_path;
pub mod fnv;
pub mod kernel;
mod kernel_fields;
pub mod layout;
mod record;
mod socket_holder;
pub mod switch;
mod timer_context;
mod walk;

pub use counts::{
    Event, GROUP_OVERFLOW_DIRECTION, GroupCounts, GroupKey, IDLE_BOUNDS_S, IgnoredDeaths,
    ListenerKey, Listeners, Loss, NetCounts, NetKey, ResetReason, Tally, direction,
};
pub use ending::Ending;
pub use event_record::{
    EventRecord, SILENCE_BOUNDS_S, SilenceTable, Silences, event_flags, event_kind, keepalive,
};
pub use fast_path::{CopiedField, CopyRange, FastPathLayout};
pub use kernel::{ABSENT, Embedded, Kernel};
pub use record::{Outstanding, Record, Start, grace, state};
pub use socket_holder::SocketHolder;
pub use timer_context::{RequestTimer, TimerContext, icsk_pending, timer_kind};
pub use walk::{
    AHEAD, Class, ClassSum, DUMP_STOPPED, Destination, EPHEMERAL, Net, PortsInUse, Socket,
    WalkProgress, flag, round_up_rto, rtos_rounded_to, table,
};
