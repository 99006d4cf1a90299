//! The arguments of `halfopen watch`.

use clap::{Args, ColorChoice};
use jiff::tz::TimeZone;

use super::{color::is_colored, filter::FilterArg, hooks::HookArgs};
use crate::commands::watch::{Address, WatchConfig};
use halfopen_core::render::events::Options;

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

impl WatchArgs {
    pub(super) fn config(&self) -> WatchConfig {
        WatchConfig {
            filter: self.filter.filter.clone(),
            filter_text: self.filter.typed.clone(),
            deaths: self.deaths,
            since_start: self.since_start,
            from: self.from.clone(),
            json: self.json,
            lines: Options {
                zone: TimeZone::system(),
                date: self.since_start,
                header: !self.no_header,
                color: is_colored(self.color),
            },
            kernel: self.hooks.options(),
        }
    }
}
