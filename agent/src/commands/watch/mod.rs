//! `halfopen watch`: events as they happen, one line each.
//! It must never hold up what it watches: what cannot be passed on in time is dropped, and said so.

mod follow;
mod hooks;
mod output;

use std::{
    env,
    io::IsTerminal,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use clap::{Args, ColorChoice};
use jiff::tz::TimeZone;

use super::{agent::Signals, list::FilterArg};
use crate::{cli::HookArgs, render::events::Options};
use output::Output;

const EVENTS: &str = "\
Events:
  death           a connection ended other than by an orderly close; CAUSE is what killed it
  recovery        the peer was heard again after probes or retransmissions had stayed unanswered
  reset_sent, reset_received
  probe, answer   keepalive and zero-window probes
  timeout         the retransmission timer fired with data outstanding
  dropped         so many events are missing here: more came than could be passed on

Words of FILTER about how a connection fares, such as suspect, match no event.
Exit codes: 0 done, 1 failed, 2 usage, 4 missing privilege or kernel feature.";

/// The flags of `halfopen watch`.
#[derive(Debug, Args)]
#[command(after_long_help = EVENTS)]
pub struct WatchArgs {
    /// Which connections are meant.
    #[command(flatten)]
    pub filter: FilterArg,
    /// Show deaths alone
    #[arg(long)]
    deaths: bool,
    /// Begin with the deaths that the agent has kept since it began
    #[arg(long, requires = "from")]
    since_start: bool,
    /// Watch by way of the agent that answers here, instead of attaching hooks
    #[arg(long, value_name = "URL", conflicts_with_all = ["hooks", "without", "btf"])]
    from: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Leave out the titles of the columns
    #[arg(long)]
    no_header: bool,
    /// When to colour events; auto does on a terminal unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    #[command(flatten)]
    hooks: HookArgs,
}

/// Shows events until told to end, or until nobody reads them any more.
///
/// # Errors
/// When the hooks cannot be had, the agent does not answer, or the lines cannot be written.
pub fn run(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let output = Output::new(options(args), args.json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = tokio::sync::oneshot::channel();
    let signals = {
        let _inside = runtime.enter();
        Signals::new().context("cannot wait for signals")?
    };
    let source: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match &args.from {
        Some(from) => {
            let request = follow::Request::new(from, args)?;
            Box::new(move || follow::run(&request, output))
        }
        None => {
            let hooks = hooks::Hooks::new(args)?;
            let stop = Arc::clone(&stop);
            Box::new(move || hooks.run(output, &stop))
        }
    };
    // A thread of its own: one that waits for a reader must not keep signals waiting.
    let worker = thread::Builder::new()
        .name("watch".into())
        .spawn(move || drop(ended.send(source())))
        .context("cannot start a thread")?;
    let result = runtime.block_on(async {
        let mut signals = signals;
        tokio::select! {
            result = end => result.unwrap_or_else(|_| {
                Err(anyhow::anyhow!("watching failed; this is a fault of halfopen, please report it"))
            }),
            _ = signals.next() => Ok(()),
        }
    });
    stop.store(true, Ordering::Relaxed);
    // It may be waiting for a reader, and goes with the process; hooks are detached by the kernel.
    drop(worker);
    result.map(|()| ExitCode::SUCCESS)
}

fn options(args: &WatchArgs) -> Options {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Options {
        zone: TimeZone::system(),
        header: !args.no_header,
        color: match args.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => std::io::stdout().is_terminal() && !no_color,
        },
    }
}
