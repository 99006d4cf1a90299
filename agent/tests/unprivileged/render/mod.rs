//! Views of what is known, and their documentation.

mod doctor;
mod documentation;
mod events;
mod list;
