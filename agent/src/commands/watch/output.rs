//! Lines to standard output, many at once where many are there.
//!
//! # Invariants
//! A closed standard output ends the stream, and is no error.

use std::io::{self, Write};

use anyhow::Context;
use tokio::sync::watch;

use halfopen_core::render::events::{Form, Lines, Options, dropped_json};

/// What is gathered before it is written, where there is much.
const FULL_BYTES: usize = 64 * 1024;
/// Events that are looked at before that, many of which a filter may leave out.
const BATCH: usize = 1_024;

/// Becomes true when it is time to end.
pub type Stop = watch::Receiver<bool>;

/// Where events come from.
pub trait EventSource {
    /// Adds the next to the output, unless it is left out; whether there was one: if not, there will be
    /// no more. Nothing is lost if it is not waited for.
    async fn next(&mut self, output: &mut Output) -> anyhow::Result<bool>;

    /// The same with one that is there already; whether there was one.
    fn next_at_hand(&mut self, output: &mut Output) -> anyhow::Result<bool>;
}

/// Writes all that comes, until there is no more, nobody reads, or `stop`; whether there was no more.
///
/// # Errors
/// When it cannot be written.
pub async fn pass_on(
    source: &mut impl EventSource,
    output: &mut Output,
    stop: &mut Stop,
) -> anyhow::Result<bool> {
    loop {
        let there = tokio::select! {
            there = source.next(output) => there?,
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
        };
        for _ in 0..BATCH {
            if output.is_full() || !source.next_at_hand(output)? {
                break;
            }
        }
        if output.flush()? == Stdout::Closed {
            return Ok(false);
        }
        if !there {
            return Ok(true);
        }
    }
}

/// Writes lines.
pub struct Output {
    lines: Lines,
    json: bool,
    text: String,
}

/// Whether somebody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// Somebody may read it.
    Open,
    /// Nobody can read it any more.
    Closed,
}

impl Output {
    /// For people, or one JSON object a line.
    pub const fn new(options: Options, json: bool) -> Self {
        Self {
            lines: Lines::new(options),
            json,
            text: String::new(),
        }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn event(&mut self, form: &Form) -> anyhow::Result<()> {
        if self.json {
            self.text.push_str(&form.json()?);
            self.text.push('\n');
        } else {
            self.lines.event(&mut self.text, form);
        }
        Ok(())
    }

    /// Adds that so many events were dropped.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn dropped(&mut self, events: u64) -> anyhow::Result<()> {
        if self.json {
            self.text.push_str(&dropped_json(events)?);
            self.text.push('\n');
        } else {
            self.lines.dropped(&mut self.text, events);
        }
        Ok(())
    }

    /// Whether it is time to write what was gathered.
    fn is_full(&self) -> bool {
        self.text.len() >= FULL_BYTES
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// When it cannot be written, for another reason than that nobody reads.
    fn flush(&mut self) -> anyhow::Result<Stdout> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(self.text.as_bytes())
            .and_then(|()| out.flush());
        self.text.clear();
        match written {
            Ok(()) => Ok(Stdout::Open),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Stdout::Closed),
            Err(error) => Err(error).context("cannot write events to standard output"),
        }
    }
}
