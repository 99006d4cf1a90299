//! What an agent must have in common with the one before to go on with its pinned maps.
//! It must never stay the same when anything in a pinned map gets another place or another meaning.

/// Raised by hand whenever anything in a pinned map gets another place or another meaning, such as a
/// new index, a bit or a unit. A test notices that the definitions have changed; sizes are compared
/// beside it.
pub const LAYOUT: u32 = 1;

/// Size of what a processor knows while it runs one of TCP's timers: the value of `BRACKETS`.
pub const BRACKET_BYTES: usize = 88;

/// Size of what it knows while it runs a request's: the value of `PENDING`.
pub const PENDING_BYTES: usize = 32;
