//! Text and JSON of known facts, and their documentation.

mod doctor;
mod documentation;
mod events;
mod list;
