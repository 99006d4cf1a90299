//! The programs, one file each.
//!
//! # Invariants
//!
//! No figure was read off the agent: figures follow from the configuration of the program, as its own
//! documentation explains it, and from the kernel's counters.

mod gunicorn;
mod haproxy;
pub(crate) mod nginx;
mod node;
mod postgresql;
mod redis;
mod sshd;

use crate::program::Program;

/// Every program. Their settings differ, so that no one's can be taken for another's.
pub const ALL: [Program; 7] = [
    nginx::NGINX,
    haproxy::HAPROXY,
    sshd::SSHD,
    redis::REDIS,
    postgresql::POSTGRESQL,
    node::NODE,
    gunicorn::GUNICORN,
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use halfopen_lab::scenario::table;

    use super::*;

    #[test]
    fn ports_are_nobody_elses() {
        let scenarios = table::all().flat_map(|s| (0..s.forms.len()).map(|form| s.port(form)));
        let mine = ALL.iter().flat_map(|program| {
            [Some(program.port), program.behind.map(|behind| behind.port)]
                .into_iter()
                .flatten()
        });
        let all: Vec<u16> = scenarios.chain(mine).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn settings_tell_programs_apart() {
        let settings: BTreeSet<_> = ALL
            .iter()
            .map(|p| {
                (
                    p.keepalive.idle_s,
                    p.keepalive.interval_s,
                    p.keepalive.probes,
                )
            })
            .collect();
        assert_eq!(settings.len(), ALL.len());
    }

    #[test]
    fn what_is_missing_is_named() {
        let why = nginx::NGINX.missing(Path::new("/nonexistent")).unwrap();
        assert!(why.contains("/nonexistent/usr/sbin/nginx"), "{why}");
    }
}
