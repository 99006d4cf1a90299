//! FILTER on the command line; its grammar is in [`halfopen_core::filter`].

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use halfopen_core::filter::{Filter, Subject};

/// FILTER: all words that are not flags.
#[derive(Debug, Clone, Default)]
pub struct FilterArg<const OF_EVENTS: bool> {
    /// The parsed expression.
    pub filter: Filter,
    /// The expression as typed.
    pub typed: String,
}

/// FILTER that chooses connections.
pub type ConnectionFilter = FilterArg<false>;

/// FILTER that chooses events.
pub type EventFilter = FilterArg<true>;

const FILTER: &str = "filter";

const OF_EVENTS: &str = "Filter expression (ss(8) syntax): dport = :443 dst 10.0.0.0/8; also age < 1s, \
                         cause keepalive … (see --help)";

const OF_CONNECTIONS: &str = "Filter expression (ss(8) syntax): state close-wait dst 10.0.0.0/8; also \
                              suspect, idle > 1h … (see --help)";

const COMMON_TERMS: &str = "\
Filter expression (ss(8) syntax).

  state close-wait, exclude listening    states come first and apply to the whole filter
  src 10.0.0.0/8, dst [2001:db8::1]:443  addresses; names are not resolved
  sport = :443, dport >= :1024           = != < > <= >=
  cgroup /system.slice/nginx.service
  owner nginx*, uid 1000, netns 4026531840";

const TERMS_OF_CONNECTIONS: &str = "
  suspect, suspect keepalive             or retransmission, window-probe, local-send-failure
  zombie, orphan, unguarded, embryonic, unaccepted, stalled, zero-window
  idle > 1h, silent > 30s                time without data; time since the peer was heard
  detect > 1h, detect never              time until a vanished peer is noticed
  memory > 64k, bytes-received = 0       kernel memory; payload, as ss -i shows it

States, verdicts, times and sizes name connections, which are listed with or without a problem. Addresses, ports, \
owners, and what follows not or exclude, only narrow the list.";

const TERMS_OF_EVENTS: &str = "
  cause keepalive, cause != refused      of a death
  age < 1s, silent > 30s                 since the handshake; since the peer was heard
  bytes-sent = 0, bytes-received < 1k    payload, as ss -i shows it
  orphan                                 closed by its application";

const COMBINATIONS: &str = "

Combine terms with and, or, not and parentheses; terms side by side mean and. Unknown values never \
match, even negated. Quote what the shell would interpret: '( dport = :443 or sport = :443 )'.";

impl<const EVENTS: bool> Args for FilterArg<EVENTS> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let (help, terms) = if EVENTS {
            (OF_EVENTS, TERMS_OF_EVENTS)
        } else {
            (OF_CONNECTIONS, TERMS_OF_CONNECTIONS)
        };
        command.arg(
            Arg::new(FILTER)
                .value_name("FILTER")
                .num_args(0..)
                .action(ArgAction::Append)
                .help(help)
                .long_help(format!("{COMMON_TERMS}{terms}{COMBINATIONS}")),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const EVENTS: bool> FromArgMatches for FilterArg<EVENTS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let words = matches.get_many::<String>(FILTER);
        let words: Vec<String> = words.into_iter().flatten().cloned().collect();
        let subject = if EVENTS {
            Subject::Event
        } else {
            Subject::Connection
        };
        let filter = Filter::of_words(subject, &words).map_err(|error| {
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

/// A filter of deaths that the agent is to ignore.
///
/// # Errors
/// When it is none, would ignore every death, or has a word that is not known of one.
pub fn of_ignored_deaths(typed: &str) -> Result<Filter, String> {
    let filter =
        Filter::parse_for(Subject::IgnoredDeath, typed).map_err(|error| error.to_string())?;
    if filter.is_empty() {
        return Err(
            "an empty filter would ignore every death; write which, as in 'sport = :443 and age < 1s and bytes-received = 0'"
                .into(),
        );
    }
    Ok(filter)
}
