//! What each command does, and how it ends.

pub mod agent;
#[cfg(feature = "selftest")]
pub mod demo;
pub mod doctor;
#[cfg(feature = "selftest")]
mod lab_failure;
pub mod list;
#[cfg(feature = "selftest")]
pub mod selftest;
mod signals;
mod snapshot_log;
mod suspects;
pub mod unpin;
pub mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{bpf, collector::Monitor, serve::SnapshotSource};
use halfopen_core::model::snapshot::Snapshot;

impl SnapshotSource for Monitor {
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

/// Why a command failed, in one sentence. A cause that an error names in its own text is not repeated.
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

/// Writes data to standard output; if the reader has closed it, that is not an error.
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
    fn no_cause_is_repeated() {
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
