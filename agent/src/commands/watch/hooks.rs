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
    Stop, WatchArgs,
    output::{Output, Source, pass_on},
};
use crate::{
    collector::Monitor,
    commands::agent::LOOK_EVERY,
    host::cgroups,
    options::Options,
    serve::{Feed, Heard, Watcher},
};
use halfopen_core::{filter::Filter, render::events::Form};

/// What is to be watched.
pub struct Hooks {
    options: Options,
    filter: Filter,
    deaths: bool,
}

impl Hooks {
    /// As typed.
    pub fn new(args: &WatchArgs) -> anyhow::Result<Self> {
        let mut filter = args.filter.filter.clone();
        filter.resolve_cgroups(cgroups::id)?;
        Ok(Self {
            options: Options {
                hooks: args.hooks.hooks.forced(),
                without: args.hooks.without.clone(),
                btf: args.hooks.btf.clone(),
                bpf_stats: false,
                ..Options::default()
            },
            filter,
            deaths: args.deaths,
        })
    }

    /// Attaches the hooks and passes on what they tell, until `stop` or nobody reads any more.
    pub fn run(self, mut output: Output, mut stop: Stop) -> anyhow::Result<()> {
        let feed = Feed::new(0);
        // Before the hooks: nothing they tell is missed.
        let watcher = feed.watch(!self.deaths, None);
        let monitor = Monitor::start_telling(&self.options, Arc::new(feed))?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let looking = thread::Builder::new()
            .name("answers".into())
            .spawn(move || look_often(monitor, &seen))
            .context("cannot start a thread")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .context("cannot start the runtime")?;
        let mut source = Filtered {
            watcher,
            filter: self.filter,
        };
        let result = runtime.block_on(pass_on(&mut source, &mut output, &mut stop));
        ended.store(true, Ordering::Relaxed);
        looking.thread().unpark();
        // A panic there has been reported by its hook already.
        let _ = looking.join();
        result.map(drop)
    }
}

struct Filtered {
    watcher: Watcher,
    filter: Filter,
}

impl Filtered {
    fn write(&self, output: &mut Output, heard: Option<Heard>) -> anyhow::Result<bool> {
        match heard {
            None => return Ok(false),
            Some(Heard::Event(event, number)) => {
                if self.filter.matches_event(&event) {
                    output.event(&Form::new(&event, number))?;
                }
            }
            Some(Heard::Missed(events)) => output.dropped(events)?,
        }
        Ok(true)
    }
}

impl Source for Filtered {
    async fn next(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let heard = self.watcher.next().await;
        self.write(output, heard)
    }

    fn next_at_hand(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let heard = self.watcher.next_at_hand();
        self.write(output, heard)
    }
}

/// No hook sees an answer come: sockets are looked at.
fn look_often(mut monitor: Monitor, ended: &AtomicBool) {
    for hook in monitor.snapshot().hooks {
        if hook.mechanism.is_none() {
            let (hook, purpose) = (hook.hook, hook.purpose);
            warn!(hook, purpose, "not attached: `halfopen doctor` says why");
        }
    }
    while !ended.load(Ordering::Relaxed) {
        thread::park_timeout(LOOK_EVERY);
        drop(monitor.snapshot());
    }
}
