//! Flags for the groups of metrics: their labels and how many get series of their own.

use std::time::Duration;

use clap::{Args, ValueEnum};

use halfopen_core::{
    filter,
    metrics::cardinality::{GroupBy, Limits, Patterns, SeriesBounds},
};

/// A label of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Label {
    /// The cgroup that owns the connections.
    Owner,
    /// Whether the connections were opened here or by the peer.
    Direction,
    /// The port of the service.
    Port,
}

/// How connections are grouped.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Groups")]
pub struct GroupArgs {
    /// Labels by which connections are grouped
    #[arg(
        long,
        value_name = "LABEL,...",
        env = "HALFOPEN_GROUP_BY",
        value_enum,
        value_delimiter = ',',
        default_value = "owner,direction,port"
    )]
    group_by: Vec<Label>,
    /// Maximum number of named groups, the largest and the worst; the rest is summed as owner "other"
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_MAX_GROUPS",
        default_value_t = 200
    )]
    max_groups: usize,
    /// Maximum number of series in total; fewer groups are named if they have too many
    #[arg(
        long,
        value_name = "N",
        env = "HALFOPEN_MAX_SERIES",
        default_value_t = 2_000,
        value_parser = max_series
    )]
    max_series: usize,
    /// Time for which a group stays named after its owner is gone: 15m, 1h
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_OWNER_TTL",
        default_value = "15m",
        value_parser = filter::duration
    )]
    owner_ttl: Duration,
    /// Name only owners that match this pattern (* matches any characters); repeatable
    #[arg(
        long,
        value_name = "PATTERN",
        env = "HALFOPEN_OWNER_ALLOW",
        value_delimiter = ','
    )]
    owner_allow: Vec<String>,
    /// Do not name owners that match this pattern; repeatable
    #[arg(
        long,
        value_name = "PATTERN",
        env = "HALFOPEN_OWNER_DENY",
        value_delimiter = ','
    )]
    owner_deny: Vec<String>,
    /// Name containers and pods as Kubernetes does, from the kubelet's directories in /var/log
    #[arg(long, env = "HALFOPEN_KUBERNETES_NAMES")]
    pub kubernetes_names: bool,
}

fn max_series(typed: &str) -> Result<usize, String> {
    let number = typed.parse().ok();
    let least = SeriesBounds::of_declared().least();
    number.filter(|number| *number >= least).ok_or_else(|| {
        format!("expected {least} or more: the series that remain when all groups are summed")
    })
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
