//! The flags that say which groups metrics tell apart, and how many of them.

use std::time::Duration;

use clap::{Args, ValueEnum};

use halfopen_core::{
    filter,
    model::budget::{GroupBy, LEAST_SERIES, Limits, Patterns},
};

/// One label of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Label {
    /// Whose connections they are.
    Owner,
    /// Who opened them.
    Direction,
    /// The service's port.
    Port,
}

/// Which groups are told apart.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Groups")]
pub struct GroupArgs {
    /// Labels that tell groups apart
    #[arg(
        long,
        value_name = "LABEL,...",
        env = "HALFOPEN_GROUP_BY",
        value_enum,
        value_delimiter = ',',
        default_value = "owner,direction,port"
    )]
    group_by: Vec<Label>,
    /// Groups shown by name, the biggest and the worst; the rest is summed as owner "other"
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_MAX_GROUPS",
        default_value_t = 200
    )]
    max_groups: usize,
    /// Series in all: where groups have too many, fewer are shown by name
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_MAX_SERIES",
        default_value_t = 2_000,
        value_parser = max_series
    )]
    max_series: usize,
    /// Time after which a group whose owner is gone loses its name: 15m, 1h
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_OWNER_TTL",
        default_value = "15m",
        value_parser = filter::duration
    )]
    owner_ttl: Duration,
    /// Only owners that match may have a name (* stands for any characters); repeatable
    #[arg(
        long,
        value_name = "PATTERN",
        env = "HALFOPEN_OWNER_ALLOW",
        value_delimiter = ','
    )]
    owner_allow: Vec<String>,
    /// Owners that match have no name; repeatable
    #[arg(
        long,
        value_name = "PATTERN",
        env = "HALFOPEN_OWNER_DENY",
        value_delimiter = ','
    )]
    owner_deny: Vec<String>,
    /// Call containers and pods by their names, as the kubelet's directories in /var/log tell them
    #[arg(long, env = "HALFOPEN_KUBERNETES_NAMES")]
    pub kubernetes_names: bool,
}

fn max_series(typed: &str) -> Result<usize, String> {
    let number = typed.parse().ok();
    number
        .filter(|number| *number >= LEAST_SERIES)
        .ok_or_else(|| format!("a number of {LEAST_SERIES} or more: so many may be left when all groups are shown together"))
}

impl GroupArgs {
    /// For the model.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let by = |label| self.group_by.contains(&label);
        Limits {
            group_by: GroupBy {
                owner: by(Label::Owner),
                direction: by(Label::Direction),
                port: by(Label::Port),
            },
            max_groups: self.max_groups,
            max_series: self.max_series,
            time_to_live: self.owner_ttl,
            owners: Patterns {
                allow: self.owner_allow.clone(),
                deny: self.owner_deny.clone(),
            },
        }
    }
}
