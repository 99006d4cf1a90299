//! Connections whose peer is alive for as long as it matters: they look dead and are not, or fall silent for a
//! while.

pub(super) mod alive;
pub(super) mod closed_windows;
pub(super) mod paths;
pub(super) mod pauses;
pub(super) mod probed;
pub(super) mod revivals;
