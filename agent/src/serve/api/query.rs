//! Query parameters that several routes share.

use crate::host::cgroups;
use halfopen_core::filter::{Filter, Subject};

/// A boolean parameter; true where it has no value.
pub fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{name} is true or false")),
    }
}

/// The number of results, from 1 to `most`.
pub fn limit(value: &str, most: usize) -> Result<usize, String> {
    let number = value.parse().ok();
    number
        .filter(|limit| (1..=most).contains(limit))
        .ok_or_else(|| format!("limit is a number from 1 to {most}"))
}

/// The number of the last death already seen.
pub fn since(value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| "since is the number of a certificate, 0 for all that are kept".to_owned())
}

/// A filter expression, its cgroup paths resolved to IDs.
pub fn filter(subject: Subject, typed: &str) -> Result<Filter, String> {
    let mut filter = Filter::parse_for(subject, typed).map_err(|error| error.to_string())?;
    filter
        .resolve_cgroups(cgroups::id)
        .map_err(|error| error.to_string())?;
    Ok(filter)
}
