//! How many series there can be, as the metrics are declared.

use crate::metrics::{
    Declared, Kind, Values, declared, group_labels::GROUP, labels::SET_BY_ANOTHER, values,
};
use crate::model::connection::Direction;

/// Bounds of the number of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesBounds {
    /// Series that no group has: hooks, losses, the comparison with the kernel's counters, silences before
    /// deaths, scrapes, the agent itself.
    pub ungrouped: usize,
    /// Series of one group, of all metrics together.
    pub group: usize,
    /// Of these the counters that have no label but a group's.
    pub plain_counters: usize,
    /// And such gauges.
    pub plain_gauges: usize,
    /// Of these the histograms' series.
    pub histogram: usize,
}

impl SeriesBounds {
    /// Those of the metrics that are declared.
    #[must_use]
    pub fn of_declared() -> Self {
        let (grouped, ungrouped): (Vec<_>, Vec<_>) = declared().into_iter().partition(is_grouped);
        let plain = |kind| {
            let plain = grouped.iter().filter(|metric| metric.labels == GROUP);
            plain.filter(|metric| metric.kind == kind).count()
        };
        Self {
            ungrouped: ungrouped.iter().map(most_series).sum(),
            group: grouped.iter().map(most_series).sum(),
            plain_counters: plain(Kind::Counter),
            plain_gauges: plain(Kind::Gauge),
            histogram: grouped
                .iter()
                .filter(|metric| matches!(metric.kind, Kind::Histogram(_)))
                .map(most_series)
                .sum(),
        }
    }

    /// The least that can be kept to: beside what has no group, [`super::OTHER`] has a group for each
    /// direction, in which all may come together that groups have.
    #[must_use]
    pub const fn least(&self) -> usize {
        self.ungrouped + Direction::ALL.len() * self.group
    }
}

fn is_grouped(metric: &Declared) -> bool {
    metric.labels.starts_with(GROUP)
}

/// Series of one metric, at most; of one group, where it has the labels of one.
fn most_series(metric: &Declared) -> usize {
    let is_set_by_another = |label: &str| {
        let mut pairs = SET_BY_ANOTHER.iter();
        pairs.any(|(set, by)| *set == label && metric.labels.contains(by))
    };
    let free = metric.labels.iter();
    let free = free.filter(|label| !GROUP.contains(label) && !is_set_by_another(label));
    let has = |label: &str| metric.labels.contains(&label);
    let label_sets = free.map(|label| values(label, has).map_or(usize::MAX, Values::at_most));
    label_sets.fold(metric.kind.series(), usize::saturating_mul)
}
