//! The agent under test: started, read by its log, and stopped as an init system would.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde::Deserialize;

use crate::{
    Error,
    observe::http::Origin,
    wait::{self, Awaited, LIMIT},
};

/// How many of its last lines an error shows.
const LAST_WORDS: usize = 5;

/// Flags for the agent: silence that is short enough to wait for counts as idle, and a
/// CLOSE_WAIT as forgotten; the death records of a host on which much dies are kept too, and every scenario has
/// groups of its own, none of which may be folded into `other`.
pub const THRESHOLDS: [&str; 12] = [
    // What a walk finds must be shown before a TIME_WAIT is over, on an emulated processor too.
    "--walk-interval",
    "5s",
    "--idle-threshold",
    "2s",
    "--close-wait-threshold",
    "2s",
    "--deaths-kept",
    "1000000",
    "--max-groups",
    "2000",
    "--max-series",
    "40000",
];

const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// A running agent; dropped, it is killed, and it does not outlive the thread that started it.
#[derive(Debug)]
pub struct AgentProcess {
    child: Child,
    log: Arc<Mutex<AgentLog>>,
    origin: Origin,
}

#[derive(Debug, Default)]
struct AgentLog {
    lines: Vec<String>,
    address: Option<String>,
    error: Option<String>,
}

/// The fields of a log line that matter here.
#[derive(Deserialize)]
struct LogLine {
    message: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    address: Option<String>,
}

impl AgentProcess {
    /// Starts `program` with these arguments and [`THRESHOLDS`], and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, which [`Error::AgentEnded`] reports with its exit code and last lines.
    pub fn start(program: &Path, args: &[&str]) -> Result<Self, Error> {
        let failed = |source| Error::System {
            tried: format!("start the agent, {}", program.display()),
            source,
            help: "check that the file can be executed",
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .args(THRESHOLDS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is for us; we end the agent ourselves.
            .process_group(0);
        // SAFETY: between fork and exec this is one system call, on the new process alone.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?)) };
        let mut child = command.spawn().map_err(failed)?;
        let log = Arc::new(Mutex::new(AgentLog::default()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            thread::spawn(move || listen(stderr, &log));
        }
        let mut agent = Self {
            child,
            log,
            origin: Origin::default(),
        };
        agent.origin = wait::until("the agent's address in its log", LIMIT, || {
            agent.alive()?;
            Ok(match &agent.log().address {
                Some(address) => Awaited::Done(Origin::parse(address)?),
                None => Awaited::NotYet("no line with the message \"listening\"".to_owned()),
            })
        })?;
        wait::until("the agent to be ready", LIMIT, || {
            agent.alive()?;
            Ok(match agent.origin.get("/-/ready") {
                Ok((200, _)) => Awaited::Done(()),
                Ok((status, body)) => Awaited::NotYet(format!("{status}: {}", body.trim())),
                Err(error) => Awaited::NotYet(error.to_string()),
            })
        })?;
        Ok(agent)
    }

    /// Where it answers.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it has logged so far, for a self-test that failed.
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        self.log().lines.clone()
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// When it does not end, or not with exit code 0.
    pub fn stop(mut self) -> Result<(), Error> {
        self.alive()?;
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM)
            .map_err(|source| Error::needs_root("send SIGTERM to the agent", source))?;
        let status = wait::until("the agent's end after SIGTERM", STOPS_WITHIN, || {
            Ok(match self.status()? {
                Some(status) => Awaited::Done(status),
                None => Awaited::NotYet("it still runs".to_owned()),
            })
        })?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended(status))
        }
    }

    fn alive(&mut self) -> Result<(), Error> {
        match self.status()? {
            None => Ok(()),
            Some(status) => {
                // The reader of its log may be behind by a moment.
                thread::sleep(Duration::from_millis(200));
                Err(self.ended(status))
            }
        }
    }

    fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child
            .try_wait()
            .map_err(|source| Error::needs_root("wait for the agent", source))
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let log = self.log();
        let last = || log.lines[log.lines.len().saturating_sub(LAST_WORDS)..].join(" / ");
        let said = log.error.clone().unwrap_or_else(last);
        Error::AgentEnded {
            status: status.to_string(),
            code: status.code(),
            said,
        }
    }

    fn log(&self) -> MutexGuard<'_, AgentLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // After a stop both find nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stderr: ChildStderr, log: &Mutex<AgentLog>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let parsed = serde_json::from_str::<LogLine>(&line).ok();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match parsed {
            Some(line) if line.message == "listening" => {
                log.address = log.address.take().or(line.address);
            }
            Some(line) if line.level == "ERROR" => log.error = Some(line.message),
            _ => {}
        }
        log.lines.push(line);
    }
}
