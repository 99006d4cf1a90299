//! Events and certificates, for programs and for people.
//!
//! # Invariants
//! What is unknown is not shown as a figure.

mod form;
mod reasons;
mod text;

pub use form::{DROPPED, Deaths, Form, Line, deaths_json, dropped_json};
pub use text::{Lines, Options};
