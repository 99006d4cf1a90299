//! Events from hooks of our own.
//! It must never keep hooks attached for longer than somebody watches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use tracing::warn;

use super::{
    WatchArgs,
    output::{Output, Reader},
};
use crate::{
    commands::agent::LOOK_EVERY,
    filter::Filter,
    host::cgroups,
    kernel::{self, Monitor},
    render::events::Form,
    serve::{Feed, Heard, Watcher},
};

/// What is to be watched.
pub struct Hooks {
    options: kernel::Options,
    filter: Filter,
    deaths: bool,
}

impl Hooks {
    /// As typed.
    pub fn new(args: &WatchArgs) -> anyhow::Result<Self> {
        let mut filter = args.filter.filter.clone();
        filter.resolve_cgroups(cgroups::id)?;
        Ok(Self {
            options: kernel::Options {
                hooks: args.hooks.hooks.forced(),
                without: args.hooks.without.clone(),
                btf: args.hooks.btf.clone(),
                bpf_stats: false,
                ..kernel::Options::default()
            },
            filter,
            deaths: args.deaths,
        })
    }

    /// Attaches the hooks and passes on what they tell, until `stop` or nobody reads any more.
    pub fn run(self, mut output: Output, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
        let feed = Feed::new(0);
        // Before the hooks: nothing they tell is missed.
        let watcher = feed.watch(!self.deaths, None);
        let monitor = Monitor::start_telling(&self.options, Arc::new(feed))?;
        let stopped = Arc::clone(stop);
        let looking = thread::Builder::new()
            .name("answers".into())
            .spawn(move || look_often(monitor, &stopped))
            .context("cannot start a thread")?;
        let result = self.pass_on(watcher, &mut output);
        stop.store(true, Ordering::Relaxed);
        // A panic there has been reported by its hook already.
        let _ = looking.join();
        result
    }

    fn pass_on(&self, mut watcher: Watcher, output: &mut Output) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .context("cannot start the runtime")?;
        while let Some(heard) = runtime.block_on(watcher.next()) {
            self.write(output, &heard)?;
            while !output.is_full() {
                let Some(heard) = watcher.next_at_hand() else {
                    break;
                };
                self.write(output, &heard)?;
            }
            if output.flush()? == Reader::Gone {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, output: &mut Output, heard: &Heard) -> anyhow::Result<()> {
        match heard {
            Heard::Event(event, number) if self.filter.matches_event(event) => {
                output.event(&Form::new(event, *number))
            }
            Heard::Event(..) => Ok(()),
            Heard::Missed(events) => {
                output.dropped(*events);
                Ok(())
            }
        }
    }
}

/// No hook sees an answer come: sockets are looked at.
fn look_often(mut monitor: Monitor, stop: &AtomicBool) {
    for hook in monitor.snapshot().hooks {
        if hook.mechanism.is_none() {
            let (hook, purpose) = (hook.hook, hook.purpose);
            warn!(hook, purpose, "not attached: `halfopen doctor` says why");
        }
    }
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK_EVERY);
        drop(monitor.snapshot());
    }
}
