//! The command line: what was typed becomes what it means, then the command runs.
//! It must never do work of its own beyond parsing, logs and the exit code.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    commands,
    options::{self, Options},
    sockets::Reader,
};
use halfopen_core::{
    filter,
    model::{
        assessed::{ConnectionList, ListOptions},
        hook::Mechanism,
        liveness::Thresholds,
    },
};

/// Watches TCP connections die: counts keepalive probes, timeouts and resets, and says why.
#[derive(Debug, Parser)]
#[command(name = "halfopen", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to log.
    #[command(flatten)]
    pub logs: LogArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach the hooks and serve Prometheus metrics, until SIGTERM or SIGINT
    Agent(Box<commands::agent::AgentArgs>),
    /// Show the connections worth worrying about, worst first, and why
    List(Box<commands::list::ListArgs>),
    /// Stream what happens to connections: probes, answers, resets, deaths, one line each
    Watch(Box<commands::watch::WatchArgs>),
    /// Show what works on this kernel: hooks, privileges, network namespaces, and what is unknown
    Doctor(commands::doctor::DoctorArgs),
    /// Remove what `halfopen agent --pin` keeps in the kernel, and with it what that has counted
    Unpin(commands::unpin::UnpinArgs),
    /// Let connections die in private network namespaces and compare every count with the kernel's
    #[cfg(feature = "selftest")]
    Selftest(commands::selftest::SelftestArgs),
    /// Let one connection die and show what a running agent counted
    #[cfg(feature = "selftest")]
    #[command(hide = true)]
    Demo(commands::demo::DemoArgs),
}

/// How to log. Logs go to standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// How much to log [default: info for agent, else warn]
    #[arg(long, global = true, value_enum, env = "HALFOPEN_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How each line of the log is written
    #[arg(
        long,
        global = true,
        value_enum,
        env = "HALFOPEN_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What ends the agent.
    Error,
    /// What is missing or lost.
    Warn,
    /// What it does.
    Info,
    /// How, the kernel side included.
    Debug,
    /// Everything.
    Trace,
}

/// How each line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The hooks that the agent and the doctor try.
#[derive(Debug, Clone, Args)]
pub struct HookArgs {
    /// Mechanism of the hooks; auto takes the best that attaches, for each hook
    #[arg(long, value_enum, env = "HALFOPEN_HOOKS", default_value = "auto")]
    pub hooks: Hooks,
    /// Kernel function or tracepoint to leave alone; repeatable
    #[arg(
        long = "without-hook",
        value_name = "NAME",
        env = "HALFOPEN_WITHOUT_HOOK",
        value_delimiter = ','
    )]
    pub without: Vec<String>,
    /// Type information (BTF) of the running kernel
    #[arg(
        long,
        value_name = "FILE",
        env = "HALFOPEN_BTF",
        default_value = options::BTF
    )]
    pub btf: std::path::PathBuf,
}

/// From when on silence means something.
#[derive(Debug, Clone, Copy, Args)]
pub struct ThresholdArgs {
    /// An established connection without data either way for this long is idle: 30s, 5m, 1h
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_IDLE_THRESHOLD",
        default_value = "5m",
        value_parser = filter::duration
    )]
    pub idle_threshold: Duration,
    /// A connection in CLOSE_WAIT without data either way for this long is stale
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_CLOSE_WAIT_THRESHOLD",
        default_value = "5m",
        value_parser = filter::duration
    )]
    pub close_wait_threshold: Duration,
}

impl ThresholdArgs {
    /// For the model.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        Thresholds {
            idle: self.idle_threshold,
            close_wait: self.close_wait_threshold,
        }
    }
}

/// Which mechanism to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that attaches.
    Auto,
    /// BTF trampolines.
    Fentry,
    /// kprobe and kretprobe on functions; tracepoints for what the kernel publishes.
    Kprobe,
    /// Raw tracepoints.
    Tracepoint,
}

impl Hooks {
    /// The mechanism forced; `None` where each hook takes its best.
    #[must_use]
    pub const fn forced(self) -> Option<Mechanism> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some(Mechanism::Fentry),
            Self::Kprobe => Some(Mechanism::Kprobe),
            Self::Tracepoint => Some(Mechanism::Tracepoint),
        }
    }
}

/// Runs the program; what it returns is its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, logs } = Cli::parse();
    let default_level = match command {
        Command::Agent(_) => LogLevel::Info,
        Command::List(_) | Command::Watch(_) | Command::Doctor(_) | Command::Unpin(_) => {
            LogLevel::Warn
        }
        #[cfg(feature = "selftest")]
        Command::Selftest(_) | Command::Demo(_) => LogLevel::Warn,
    };
    start_logs(&logs, logs.log_level.unwrap_or(default_level));
    let result = match &command {
        Command::Agent(args) => commands::agent::run(args, logs.log_level),
        Command::List(args) => commands::list::run(args, || read_all(args)),
        Command::Watch(args) => commands::watch::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Unpin(args) => commands::unpin::run(args),
        #[cfg(feature = "selftest")]
        Command::Selftest(args) => commands::selftest::run(args),
        #[cfg(feature = "selftest")]
        Command::Demo(args) => commands::demo::run(args),
    };
    result.unwrap_or_else(|error| {
        tell(&commands::sentence(&error), logs.log_format);
        commands::exit_code(&error)
    })
}

/// Every connection there is.
fn read_all(args: &commands::list::ListArgs) -> anyhow::Result<ConnectionList> {
    let options = Options {
        thresholds: args.thresholds(),
        ..Options::default()
    };
    let extent = ListOptions {
        netns: None,
        most: usize::MAX,
        processes: args.processes,
    };
    let everything = |_: &_| true;
    Ok(Reader::open(&options)?.list_to(extent, &everything)?)
}

/// Says why the program ends, in the form in which it was to speak.
fn tell(sentence: &str, format: LogFormat) {
    match format {
        LogFormat::Json => tracing::error!("{sentence}"),
        // Where standard error is closed there is nobody to tell.
        LogFormat::Text => drop(writeln!(std::io::stderr(), "halfopen: {sentence}")),
    }
}

fn start_logs(args: &LogArgs, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries below speak of their own affairs: heard at trace alone.
    let others = if level == LevelFilter::TRACE {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    let filter = Targets::new()
        .with_target("halfopen", level)
        .with_default(others);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
        LogFormat::Text => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let ansi = std::io::stderr().is_terminal() && !no_color;
            registry
                .with(layer.with_target(false).with_ansi(ansi))
                .init();
        }
    }
}

/// Parses `500ms`, `5s`, `1m` or `2h`, within what makes sense for an interval.
///
/// # Errors
/// When it is no duration, or out of bounds.
pub fn interval(typed: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(3600);
    let duration = filter::duration(typed)
        .map_err(|_| "write a whole number and a unit: 500ms, 5s, 1m or 1h")?;
    if (LEAST..=MOST).contains(&duration) {
        Ok(duration)
    } else {
        Err("it must be from 100ms to 1h".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn intervals() {
        for (typed, expected) in [
            ("500ms", 500),
            ("5s", 5000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("100ms", 100),
        ] {
            assert_eq!(
                interval(typed),
                Ok(Duration::from_millis(expected)),
                "{typed}"
            );
        }
        for wrong in [
            "",
            "5",
            "s",
            "-5s",
            "0s",
            "99ms",
            "61m",
            "5 s",
            "5S",
            "99999999999999999999h",
            "1.5s",
        ] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
