//! FILTER on the command line; its grammar is in [`halfopen_core::filter`].

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use halfopen_core::filter::Filter;

/// FILTER: all words that are not flags.
#[derive(Debug, Clone, Default)]
pub struct FilterArg {
    /// The parsed expression.
    pub filter: Filter,
    /// The expression as typed.
    pub typed: String,
}

const FILTER: &str = "filter";

const HELP: &str = "Filter expression (ss(8) syntax): state close-wait dst 10.0.0.0/8; also suspect, \
                    idle > 1h … (see --help)";

const LONG_HELP: &str = "\
Filter expression (ss(8) syntax).

  state close-wait, exclude listening    states come first and apply to the whole filter
  src 10.0.0.0/8, dst [2001:db8::1]:443  addresses; names are not resolved
  sport = :443, dport >= :1024           = != < > <= >=
  cgroup /system.slice/nginx.service
  owner nginx*, uid 1000, netns 4026531840
  suspect, suspect keepalive             or retransmission, window-probe, local-send-failure
  zombie, orphan, unguarded, embryonic, zero-window
  idle > 1h, silent > 30s                time without data; time since the peer was heard
  detect > 1h, detect never              time until a vanished peer is noticed
  memory > 64k

Combine terms with and, or, not and parentheses; terms side by side mean and. Unknown values never \
match, even negated. Quote what the shell would interpret: '( dport = :443 or sport = :443 )'.";

impl Args for FilterArg {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.arg(
            Arg::new(FILTER)
                .value_name("FILTER")
                .num_args(0..)
                .action(ArgAction::Append)
                .help(HELP)
                .long_help(LONG_HELP),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let words = matches.get_many::<String>(FILTER);
        let words: Vec<String> = words.into_iter().flatten().cloned().collect();
        let filter = Filter::of_words(&words).map_err(|error| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, error.to_string())
        })?;
        Ok(Self {
            filter,
            typed: words.join(" "),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
