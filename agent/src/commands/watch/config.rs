//! What to watch, and how to show it.

use halfopen_core::{filter::Filter, render::events};

use super::address::Address;
use crate::options::Options;

/// What to watch, and how to show it.
#[derive(Debug)]
pub struct WatchConfig {
    /// The events to show; its cgroups are not resolved yet.
    pub filter: Filter,
    /// The filter as text, for an agent.
    pub filter_text: String,
    /// Whether to show deaths alone.
    pub deaths: bool,
    /// Whether to begin with the deaths that the agent has kept.
    pub since_start: bool,
    /// The agent to ask; `None` to attach hooks.
    pub from: Option<Address>,
    /// Whether to write JSON lines instead of text.
    pub json: bool,
    /// How lines of text are written.
    pub lines: events::Options,
    /// The hooks to attach.
    pub kernel: Options,
}
