//! How a command ends that the lab could not carry out.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use halfopen_lab::Error;

/// Prints why; the lab's errors carry their own exit code.
pub fn report(error: &Error) -> ExitCode {
    // Nobody reads a closed standard error.
    drop(writeln!(io::stderr(), "halfopen: {error}"));
    ExitCode::from(error.exit_code())
}
