//! What can go wrong in the lab. A count that differs is a result, not an error.

use std::{io, time::Duration};

/// Why the lab could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the system failed.
    #[error("cannot {tried}: {source}; {help}")]
    System {
        /// What was tried, on what.
        tried: String,
        /// Why it failed.
        source: io::Error,
        /// What to do.
        help: &'static str,
    },
    /// `ip` or `nft` refused.
    #[error(
        "`{command}` refused in a private namespace: {said}; its input was: {input}; check that the kernel has veth, IPv6 and nf_tables"
    )]
    Command {
        /// The program with its arguments.
        command: String,
        /// What it said on standard error.
        said: String,
        /// What it read on standard input, on one line.
        input: String,
    },
    /// A namespace's thread has ended.
    #[error(
        "the thread that holds namespace {0} has ended; this is a fault of the lab, please report it"
    )]
    HostGone(String),
    /// Something did not happen.
    #[error(
        "waited {limit:?} for {awaited}, in vain: {seen}; the machine may be too slow, try again when it is idle"
    )]
    Deadline {
        /// What was waited for.
        awaited: String,
        /// What was there instead.
        seen: String,
        /// How long.
        limit: Duration,
    },
    /// SIGINT or SIGTERM.
    #[error("interrupted; everything the lab made is gone")]
    Interrupted,
    /// A text is not in the form it must have.
    #[error("cannot read {what}: {why}; this may be a fault of halfopen, please report it")]
    Format {
        /// Which text.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The agent has dropped death records before they could be read.
    #[error(
        "{arrived} connections died on this host meanwhile, and the agent keeps the records of {listed}; start it with a greater --deaths-kept, or try again when fewer die"
    )]
    TooFewKept {
        /// Deaths since the lab began.
        arrived: u64,
        /// Those that it lists.
        listed: u64,
    },
    /// The agent does not answer, or not as it should.
    #[error("GET {url} failed: {why}; check that the agent runs and answers there")]
    Http {
        /// What was asked.
        url: String,
        /// What came instead.
        why: String,
    },
    /// The agent ended by itself.
    #[error("the agent ended by itself ({status}): {said}")]
    AgentEnded {
        /// How, in words.
        status: String,
        /// Its exit code; `None` after a signal.
        code: Option<i32>,
        /// Its last lines.
        said: String,
    },
    /// This kernel cannot play the scenario.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            // The agent has said better than we can what is wrong.
            Self::AgentEnded {
                code: Some(code), ..
            } if *code != 0 => u8::try_from(*code).unwrap_or(1),
            Self::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 4,
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// A failed call, for which root is the usual remedy.
    #[must_use]
    pub fn needs_root(tried: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let help = "the lab makes network namespaces: run it as root";
        Self::System {
            tried: tried.into(),
            source: source.into(),
            help,
        }
    }

    /// A failed call on a socket inside the lab.
    #[must_use]
    pub fn socket(tried: impl Into<String>, source: io::Error) -> Self {
        let help = "nothing outside the lab can cause this: please report it";
        Self::System {
            tried: tried.into(),
            source,
            help,
        }
    }
}
