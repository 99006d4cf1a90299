//! FILTER on the command line; its grammar is in [`halfopen_core::filter`].

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use halfopen_core::filter::Filter;

/// FILTER: all words that are no flags.
#[derive(Debug, Clone, Default)]
pub struct FilterArg {
    /// What it means.
    pub filter: Filter,
    /// As it was typed, for those who pass it on.
    pub typed: String,
}

const FILTER: &str = "filter";

const HELP: &str = "Which connections are meant, as ss has it: state close-wait dst 10.0.0.0/8; \
                    and suspect, idle > 1h … (see --help)";

const LONG_HELP: &str = "\
Which connections are meant, in the grammar of ss(8).

  state close-wait, exclude listening    states come first and hold for all
  src 10.0.0.0/8, dst [2001:db8::1]:443  addresses; no names are looked up
  sport = :443, dport >= :1024           = != < > <= >=
  cgroup /system.slice/nginx.service
  owner nginx*, uid 1000, netns 4026531840
  suspect, suspect keepalive             or retransmission, window-probe
  zombie, orphan, unguarded, embryonic, zero-window
  idle > 1h, silent > 30s                without data; without a sign of the peer
  detect > 1h, detect never              until a vanished peer would be noticed
  memory > 64k

Joined by and, or, not and parentheses; side by side means and. What is unknown matches no comparison, \
nor its opposite. Quote what the shell would take: '( dport = :443 or sport = :443 )'.";

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
