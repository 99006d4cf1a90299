//! From the ring buffer to events.

pub(crate) mod decode;
pub(crate) mod ignored;
pub(crate) mod ring_buffer;
mod undecided;
