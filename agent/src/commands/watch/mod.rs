//! `halfopen watch`: events as they happen, one line each.
//!
//! # Invariants
//! A slow reader holds up no hook and no agent: events that cannot be written in time are dropped, and
//! counted.

mod address;
mod config;
mod follow;
mod hooks;
mod output;

use std::{io, process::ExitCode, thread, time::Duration};

use anyhow::{Context, anyhow};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

pub use address::Address;
pub use config::WatchConfig;

use super::signals::Signals;
use output::Output;

/// How long a line that is being written may delay the end.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// Shows events until a signal, or until nobody reads them any more.
///
/// # Errors
/// When the hooks cannot be had, the agent does not answer, or the lines cannot be written.
pub fn run(config: &WatchConfig) -> anyhow::Result<ExitCode> {
    let output = Output::new(config.lines.clone(), config.json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (stop, stopped) = watch::channel(false);
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().context("cannot install signal handlers")?
    };
    let source: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match &config.from {
        Some(from) => {
            let request = follow::Request::new(from, config);
            Box::new(move || follow::run(request, output, stopped))
        }
        None => {
            let hooks = hooks::Hooks::new(config)?;
            Box::new(move || hooks.run(output, stopped))
        }
    };
    // A thread of its own: one that waits for a reader must not keep signals waiting.
    let mut end = on_a_thread("watch", source)?;
    let mut gone = on_a_thread("reader", reader_gone)?;
    runtime.block_on(async {
        tokio::select! {
            result = &mut end => return result.unwrap_or_else(|_| {
                Err(anyhow!("watch failed; this is a bug in halfopen, please report it"))
            }),
            _ = signals.next() => {}
            Ok(()) = &mut gone => {}
        }
        // The receiver is gone if the stream has just failed.
        let _ = stop.send(true);
        // It may be waiting for a reader, and then goes with the process; the kernel detaches the hooks.
        drop(timeout(FINAL_WRITE_TIMEOUT, end).await);
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

/// Returns when nobody can read standard output any more; without events, no write would notice.
fn reader_gone() {
    let out = io::stdout();
    let lost = PollFlags::ERR | PollFlags::HUP;
    loop {
        // Both are reported without being requested.
        let mut fds = [PollFd::new(&out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().intersects(lost) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Without poll, the next write notices.
            Err(_) => loop {
                thread::park();
            },
        }
    }
}
