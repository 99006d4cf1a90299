//! The arguments of `halfopen watch`.

use clap::{Args, ColorChoice};
use jiff::tz::TimeZone;

use super::{color::is_colored, filter::EventFilter, hooks::HookArgs};
use crate::{
    commands::watch::{Address, WatchConfig},
    options,
};
use halfopen_core::render::events::Options;

const EVENTS: &str = "\
Events:
  death           a connection ended without an orderly close; CAUSE says why
  recovery        the peer answered after unanswered probes or retransmissions
  reset_sent, reset_received
  probe, answer   keepalive and zero-window probes
  timeout         the retransmission timer fired with data outstanding
  dropped         number of events missing here: they came faster than the output was read

Health terms of FILTER, such as suspect, match no event. dropped is always shown.

Exit codes: 0 success, 1 failed, 2 usage, 4 missing privilege or kernel feature.";

/// The flags of `halfopen watch`.
#[derive(Debug, Args)]
#[command(after_long_help = EVENTS)]
pub struct WatchArgs {
    /// Which events to show.
    #[command(flatten)]
    pub filter: EventFilter,
    /// Show only deaths
    #[arg(long)]
    deaths: bool,
    /// Start with the deaths that the agent has kept since it started
    #[arg(long, requires = "from")]
    since_start: bool,
    /// Read events from a running agent instead of attaching hooks: http://HOST:PORT, or the path of its
    /// unix socket
    #[arg(long, value_name = "URL|SOCKET", conflicts_with_all = ["hooks", "without", "btf"])]
    from: Option<Address>,
    /// Name containers and pods as Kubernetes does, from the kubelet's directories in /var/log; with --from
    /// they have the agent's names
    #[arg(long, env = "HALFOPEN_KUBERNETES_NAMES")]
    kubernetes_names: bool,
    /// Write one JSON object per line
    #[arg(long)]
    json: bool,
    /// Do not print the column titles
    #[arg(long)]
    no_header: bool,
    /// When to colour the output; auto: on a terminal, unless NO_COLOR is set
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
            kernel: options::Options {
                kubernetes_names: self.kubernetes_names,
                ..self.hooks.options()
            },
        }
    }
}
