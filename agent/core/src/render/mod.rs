//! Views: from values to text and JSON.

pub mod doctor;
pub mod events;
mod facts;
pub mod list;
mod words;
