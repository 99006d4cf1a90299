//! The steps of a task that takes minutes: a line as each begins, numbered, with what it does.

use std::fmt::Display;
use std::io::{self, Write};

/// Numbers the steps of one task.
pub struct Steps {
    total: usize,
    begun: usize,
}

impl Steps {
    /// For a task of `total` steps.
    pub const fn new(total: usize) -> Self {
        Self { total, begun: 0 }
    }

    /// Prints that the next step begins.
    pub fn begin(&mut self, title: impl Display) {
        println!("{}", self.line(title));
        // Into a pipe or a file, too, the line comes before the step's own output.
        let _ = io::stdout().flush();
    }

    fn line(&mut self, title: impl Display) -> String {
        self.begun += 1;
        debug_assert!(self.begun <= self.total, "more steps than announced");
        format!("[{}/{}] {title}", self.begun, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn steps_are_numbered_up_to_their_total() {
        let mut steps = Steps::new(2);
        assert_eq!(steps.line("compiling"), "[1/2] compiling");
        assert_eq!(steps.line("starting"), "[2/2] starting");
    }

    #[test]
    #[should_panic(expected = "more steps than announced")]
    fn a_step_too_many_is_a_mistake() {
        let mut steps = Steps::new(0);
        steps.line("surprise");
    }
}
