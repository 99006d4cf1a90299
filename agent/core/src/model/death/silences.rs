//! Silences before deaths: the hooks' tables as figures a view can show.

use std::{collections::BTreeMap, time::Duration};

use halfopen_common::{Ending, SILENCE_BOUNDS_S, Silences};

use super::Cause;
use crate::model::histogram::Histogram;

/// For how long the peers of connections had been silent when they died, by [`SILENCE_BOUNDS_S`].
pub type Silence = Histogram<{ SILENCE_BOUNDS_S.len() + 1 }>;

/// By cause; one that nobody died of is absent.
#[must_use]
pub fn by_cause(read: impl Iterator<Item = (Ending, Silences)>) -> BTreeMap<Cause, Silence> {
    let mut silences: BTreeMap<Cause, Silence> = BTreeMap::new();
    for (ending, counted) in read {
        let Some(cause) = super::cause(ending) else {
            continue;
        };
        let counted = Histogram {
            counts: counted.deaths,
            sum: Duration::from_nanos(counted.sum_ns),
        };
        if !counted.is_empty() {
            silences.entry(cause).or_default().add(&counted);
        }
    }
    silences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_one_cause_are_added_up() {
        let of = |bucket: usize, seconds: u64| {
            let mut silences = Silences::default();
            silences.deaths[bucket] = 1;
            silences.sum_ns = seconds * 1_000_000_000;
            silences
        };
        let read = [
            (Ending::KeepaliveUserTimeout, of(2, 7)),
            (Ending::RetransmissionUserTimeout, of(3, 20)),
            (Ending::Keepalive, of(10, 20_000)),
            (Ending::Abort, Silences::default()),
        ];
        let shown = by_cause(read.into_iter());
        assert_eq!(shown.len(), 2);
        let user_timeout = shown[&Cause::UserTimeout];
        assert_eq!(user_timeout.counts[..4], [0, 0, 1, 1]);
        assert_eq!(user_timeout.sum, Duration::from_secs(27));
        assert_eq!(shown[&Cause::Keepalive].counts[10], 1);
    }
}
