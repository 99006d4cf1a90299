//! Real programs whose peer vanishes: each is started in a private root, greeted, and cut off; then its own
//! keepalive settings, the kernel's counters and the agent's counts must agree.

mod catalog;
mod counts;
mod error;
mod greeting;
mod jail;
mod perform;
mod program;
mod session;

pub use error::ProgramError;
pub use program::Program;
pub use session::{ProgramOutcome, ProgramsReport, run};
