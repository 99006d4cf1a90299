//! How to log, and where failures are reported.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How to log. Logs go to standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Log level [default: info for agent, warn for the other commands]
    #[arg(long, global = true, value_enum, env = "HALFOPEN_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Log format
    #[arg(
        long,
        global = true,
        value_enum,
        env = "HALFOPEN_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// Log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Fatal errors.
    Error,
    /// Also lost data and missing hooks.
    Warn,
    /// Also normal operation.
    Info,
    /// Also details, those of the eBPF programs included.
    Debug,
    /// Everything, libraries included.
    Trace,
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// Reports why the program ends, in the format of the log.
pub(super) fn report(sentence: &str, format: LogFormat) {
    match format {
        LogFormat::Json => tracing::error!("{sentence}"),
        // Nobody reads a closed standard error.
        LogFormat::Text => drop(writeln!(std::io::stderr(), "halfopen: {sentence}")),
    }
}

/// Sends logs of `level` and worse to standard error.
pub(super) fn start_logs(args: &LogArgs, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries log below warn only at trace.
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
