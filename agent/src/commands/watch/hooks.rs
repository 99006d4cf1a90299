//! Events from hooks of our own.
//!
//! # Invariants
//! The hooks are detached when the stream ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use halfopen_core::{filter::Filter, render::events::Form};
use tracing::warn;

use super::{
    config::WatchConfig,
    output::{EventSource, Output, Stop, pass_on},
};
use crate::{
    collector::Monitor,
    commands::suspects::CHECK_INTERVAL,
    host::cgroups,
    options::Options,
    serve::{Feed, FeedItem, FeedWatcher},
};

/// Hooks of our own, and which of their events to show.
pub struct Hooks {
    options: Options,
    filter: Filter,
    deaths: bool,
}

impl Hooks {
    /// Finds the cgroups of the filter.
    pub fn new(config: &WatchConfig) -> anyhow::Result<Self> {
        let mut filter = config.filter.clone();
        filter.resolve_cgroups(cgroups::id)?;
        Ok(Self {
            options: Options {
                bpf_stats: false,
                ..config.kernel.clone()
            },
            filter,
            deaths: config.deaths,
        })
    }

    /// Attaches the hooks and writes their events, until `stop` or nobody reads any more.
    pub fn run(self, mut output: Output, mut stop: Stop) -> anyhow::Result<()> {
        let feed = Feed::new(0);
        // Before the hooks, so that no event is missed.
        let watcher = feed.watch(!self.deaths, None);
        let monitor = Monitor::start_telling(&self.options, Arc::new(feed))?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let checking = thread::Builder::new()
            .name("answers".into())
            .spawn(move || check_suspects(monitor, &seen))
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
        checking.thread().unpark();
        // A panic there has been reported by its hook already.
        let _ = checking.join();
        result.map(drop)
    }
}

struct Filtered {
    watcher: FeedWatcher,
    filter: Filter,
}

impl Filtered {
    fn write(&self, output: &mut Output, item: Option<FeedItem>) -> anyhow::Result<bool> {
        match item {
            None => return Ok(false),
            Some(FeedItem::Event(event, number)) => {
                if self.filter.matches_event(&event) {
                    output.event(&Form::new(&event, number))?;
                }
            }
            Some(FeedItem::Missed(events)) => output.dropped(events)?,
        }
        Ok(true)
    }
}

impl EventSource for Filtered {
    async fn next(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let item = self.watcher.next().await;
        self.write(output, item)
    }

    fn next_at_hand(&mut self, output: &mut Output) -> anyhow::Result<bool> {
        let item = self.watcher.try_next();
        self.write(output, item)
    }
}

/// No hook sees answers arrive: snapshots check the sockets for them.
fn check_suspects(mut monitor: Monitor, ended: &AtomicBool) {
    for hook in monitor.snapshot().hooks {
        if hook.mechanism.is_none() {
            let (hook, purpose) = (hook.hook, hook.purpose);
            warn!(
                hook,
                purpose, "hook not attached; `halfopen doctor` says why"
            );
        }
    }
    while !ended.load(Ordering::Relaxed) {
        thread::park_timeout(CHECK_INTERVAL);
        drop(monitor.snapshot());
    }
}
