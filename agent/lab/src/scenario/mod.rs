//! The scenarios: one way each for a connection to die, hang or live on, and how they are run.

pub mod definition;
pub mod demo;
pub mod minute;
pub mod perform;
mod round;
pub mod session;
pub mod stage;
pub mod table;
mod terms;
