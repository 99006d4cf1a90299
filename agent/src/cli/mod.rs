//! The command line: arguments become a command's configuration, then the command runs.

mod agent;
mod color;
#[cfg(feature = "selftest")]
mod demo;
mod doctor;
mod filter;
mod groups;
mod hooks;
mod interval;
mod list;
mod logs;
#[cfg(feature = "selftest")]
mod selftest;
mod thresholds;
mod unpin;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use agent::AgentArgs;
#[cfg(feature = "selftest")]
pub use demo::DemoArgs;
pub use doctor::DoctorArgs;
pub use list::ListArgs;
pub use logs::{LogArgs, LogFormat, LogLevel};
#[cfg(feature = "selftest")]
pub use selftest::SelftestArgs;
pub use unpin::UnpinArgs;
pub use watch::WatchArgs;

use crate::commands;

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
    Agent(Box<AgentArgs>),
    /// Show the connections that need attention, worst first, and why
    List(Box<ListArgs>),
    /// Stream TCP events as they happen, one line each: probes, answers, resets, deaths
    Watch(Box<WatchArgs>),
    /// Check what works on this host: hooks, privileges, kernel features, cgroups
    Doctor(DoctorArgs),
    /// Remove the records, counters and hooks that `halfopen agent --pin` left in the kernel
    Unpin(UnpinArgs),
    /// Break connections in private network namespaces and check every count of the agent
    #[cfg(feature = "selftest")]
    Selftest(SelftestArgs),
    /// Break one connection and show what a running agent counted
    #[cfg(feature = "selftest")]
    #[command(hide = true)]
    Demo(DemoArgs),
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
    logs::start_logs(&logs, logs.log_level.unwrap_or(default_level));
    let result = match &command {
        Command::Agent(args) => commands::agent::run(args.config(logs.log_level)),
        Command::List(args) => commands::list::run(&args.config()),
        Command::Watch(args) => commands::watch::run(&args.config()),
        Command::Doctor(args) => commands::doctor::run(&args.config()),
        Command::Unpin(args) => commands::unpin::run(&args.directory),
        #[cfg(feature = "selftest")]
        Command::Selftest(args) => commands::selftest::run(&args.config()),
        #[cfg(feature = "selftest")]
        Command::Demo(args) => commands::demo::run(&args.from),
    };
    result.unwrap_or_else(|error| {
        logs::report(&commands::sentence(&error), logs.log_format);
        commands::exit_code(&error)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
