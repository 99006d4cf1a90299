//! What two agents must have in common so that one can go on with the pinned maps of the other.

/// Raised by hand whenever anything in a pinned map gets another name, place or meaning, such as a new
/// index, a bit or a unit. A test notices that the definitions have changed; sizes are compared as
/// well.
pub const LAYOUT: u32 = 6;
