//! What each command does, and how it ends.
//! It must never hold what a view or a metric is: it brings the parts together.

pub mod agent;
#[cfg(feature = "selftest")]
pub mod demo;
pub mod doctor;
mod grouping;
pub mod list;
mod news;
#[cfg(feature = "selftest")]
pub mod selftest;
pub mod unpin;
pub mod watch;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::ColorChoice;

use crate::{bpf, collector::Monitor, serve::Source};
use halfopen_core::model::snapshot::Snapshot;

impl Source for Monitor {
    fn snapshot(&mut self) -> Snapshot {
        Self::snapshot(self)
    }
}

/// The exit code of a failure without one of its own.
const FAILED: u8 = 1;

/// The exit code of a command that failed with `error`.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = error
        .downcast_ref::<bpf::Error>()
        .map_or(FAILED, bpf::Error::exit_code);
    ExitCode::from(code)
}

/// Why a command failed, in one sentence. Many an error names its cause already: a cause that has
/// been named is not repeated.
#[must_use]
pub fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut sentence, cause| {
        let cause = cause.to_string();
        if sentence.is_empty() {
            return cause;
        }
        if !sentence.contains(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
        sentence
    })
}

/// Whether data on standard output is coloured (<https://no-color.org>).
#[must_use]
pub fn is_colored(choice: ColorChoice) -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => io::stdout().is_terminal() && !no_color,
    }
}

/// Writes data to standard output; a reader that has closed it wants no more, which is no error.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("cannot read x: no such file; give another")
            .context("starting")
            .unwrap_err();
        assert_eq!(
            sentence(&error),
            "starting: cannot read x: no such file; give another"
        );
    }
}
