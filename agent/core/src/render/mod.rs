//! Views: from values to text and JSON.
//! It must never ask the kernel, a file or a clock: all it shows was brought to it.

pub mod doctor;
pub mod events;
mod facts;
pub mod list;
mod words;
