//! `halfopen watch`: events as they happen, one line each.
//! It must never hold up what it watches: what cannot be passed on in time is dropped, and said so.

mod address;
mod follow;
mod hooks;
mod output;

use std::{io, process::ExitCode, thread, time::Duration};

use anyhow::{Context, anyhow};
use clap::{Args, ColorChoice};
use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{agent::Signals, is_colored, list::FilterArg};
use crate::cli::HookArgs;
use address::Address;
use halfopen_core::render::events::Options;
use output::Output;

const EVENTS: &str = "\
Events:
  death           a connection ended other than by an orderly close; CAUSE is what killed it
  recovery        the peer was heard again after probes or retransmissions had stayed unanswered
  reset_sent, reset_received
  probe, answer   keepalive and zero-window probes
  timeout         the retransmission timer fired with data outstanding
  dropped         so many events are missing here: more came than could be passed on

Words of FILTER about how a connection fares, such as suspect, match no event; dropped is shown
whatever FILTER asks for.
Exit codes: 0 done, 1 failed, 2 usage, 4 missing privilege or kernel feature.";

/// For how long a line that is being written may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

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
    /// Watch by way of the agent that answers here, instead of attaching hooks: http://HOST:PORT, or the
    /// path of its unix socket
    #[arg(long, value_name = "URL|SOCKET", conflicts_with_all = ["hooks", "without", "btf"])]
    from: Option<Address>,
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

/// Becomes true when it is time to end.
type Stop = watch::Receiver<bool>;

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
    let (stop, stopped) = watch::channel(false);
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().context("cannot wait for signals")?
    };
    let source: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match &args.from {
        Some(from) => {
            let request = follow::Request::new(from, args);
            Box::new(move || follow::run(request, output, stopped))
        }
        None => {
            let hooks = hooks::Hooks::new(args)?;
            Box::new(move || hooks.run(output, stopped))
        }
    };
    // A thread of its own: one that waits for a reader must not keep signals waiting.
    let mut end = on_a_thread("watch", source)?;
    let mut gone = on_a_thread("reader", reader_gone)?;
    runtime.block_on(async {
        tokio::select! {
            result = &mut end => return result.unwrap_or_else(|_| {
                Err(anyhow!("watching failed; this is a fault of halfopen, please report it"))
            }),
            _ = signals.next() => {}
            Ok(()) = &mut gone => {}
        }
        // If it fails just now, nobody hears.
        let _ = stop.send(true);
        // It may be waiting for a reader, and then goes with the process; the kernel detaches the hooks.
        drop(timeout(LAST_WORDS, end).await);
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs something; what it returns comes out of the receiver.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<oneshot::Receiver<T>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || drop(ended.send(work())))
        .context("cannot start a thread")?;
    Ok(end)
}

/// Returns when nobody can read standard output any more, which a silent stream would never learn.
fn reader_gone() {
    let out = io::stdout();
    let lost = PollFlags::ERR | PollFlags::HUP;
    loop {
        // Both are told without being asked for.
        let mut fds = [PollFd::new(&out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().intersects(lost) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // It cannot be told: writing will.
            Err(_) => loop {
                thread::park();
            },
        }
    }
}

fn options(args: &WatchArgs) -> Options {
    Options {
        zone: TimeZone::system(),
        date: args.since_start,
        header: !args.no_header,
        color: is_colored(args.color),
    }
}
