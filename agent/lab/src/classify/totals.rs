//! Compares the host's totals: what all the lab's namespaces counted with what the agent reports that the
//! kernel counted, that it counted, and that it missed. Other namespaces may add to the agent's totals.

use std::collections::BTreeMap;

use crate::{
    classify::{
        assessment::{Assessment, Exactness},
        expectations::NETFILTER_HOOK,
    },
    observe::exposition::Metrics,
};

/// A compared counter's sums over the lab's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabTotals {
    /// What the kernel counted.
    pub kernel: u64,
    /// What the agent counted on the lab's ports.
    pub counted: u64,
}

/// The agent's totals of one counter, as grown while the scenarios were played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AgentTotals {
    kernel: u64,
    counted: u64,
    unaccounted: u64,
    overcounted: u64,
}

/// What the agent loses none of where every event reaches it.
const LOST: [&str; 3] = [
    "halfopen_map_full_total",
    "halfopen_events_unreadable_total",
    "halfopen_records_stale_total",
];

/// Compares the totals between two readings.
#[must_use]
pub fn classify(
    lab: &BTreeMap<&'static str, LabTotals>,
    before: &Metrics,
    after: &Metrics,
    exactness: Exactness,
) -> Assessment {
    let mut assessment = Assessment::default();
    for metric in LOST {
        let lost = after
            .sum(metric, &[])
            .saturating_sub(before.sum(metric, &[]));
        if lost > 0 && exactness == Exactness::Exact {
            assessment.wrong.push(format!("{metric} grew by {lost}"));
        }
    }
    for (counter, lab) in lab {
        let grown = |metric: &str| {
            let labels = [("counter", *counter)];
            after
                .sum(metric, &labels)
                .saturating_sub(before.sum(metric, &labels))
        };
        let host = AgentTotals {
            kernel: grown("halfopen_kernel_events_total"),
            counted: grown("halfopen_hook_events_total"),
            unaccounted: grown("halfopen_unaccounted_events_total"),
            overcounted: grown("halfopen_overcounted_events_total"),
        };
        assessment
            .expected
            .insert((*counter).to_owned(), lab.kernel.into());
        assessment
            .kernel
            .insert((*counter).to_owned(), host.kernel.into());
        assessment
            .counted
            .insert((*counter).to_owned(), host.counted.into());
        if let Err(why) = compare(*lab, host, exactness) {
            assessment.wrong.push(format!("{counter}: {why}"));
        } else if host.unaccounted > 0 {
            let AgentTotals {
                kernel,
                counted,
                unaccounted,
                ..
            } = host;
            assessment.short.push(format!(
                "{counter}: {counted} of {kernel}, {unaccounted} unaccounted"
            ));
        }
    }
    assessment
}

/// A counter of the kernel's that the agent shows as it is, summed over the host.
#[derive(Debug, Clone, Copy)]
pub struct ShownCounter {
    /// The kernel's name.
    pub kernel: &'static str,
    metric: &'static str,
    /// The value of the label `outcome`, where the metric has it.
    outcome: Option<&'static str>,
}

const fn cookies(kernel: &'static str, outcome: &'static str) -> ShownCounter {
    ShownCounter {
        kernel,
        metric: "halfopen_syn_cookies_total",
        outcome: Some(outcome),
    }
}

/// All of them.
pub const SHOWN: [ShownCounter; 4] = [
    ShownCounter {
        kernel: "ListenOverflows",
        metric: "halfopen_accept_queue_overflows_total",
        outcome: None,
    },
    cookies("SyncookiesSent", "sent"),
    cookies("SyncookiesRecv", "validated"),
    cookies("SyncookiesFailed", "failed"),
];

/// What the agent shows of these counters holds the lab's part; where it does not, why.
pub fn missed(
    lab: &BTreeMap<&'static str, u64>,
    before: &Metrics,
    after: &Metrics,
) -> impl Iterator<Item = String> {
    SHOWN.into_iter().filter_map(move |shown| {
        let labels: Vec<_> = shown
            .outcome
            .map(|it| ("outcome", it))
            .into_iter()
            .collect();
        let grown = after
            .sum(shown.metric, &labels)
            .saturating_sub(before.sum(shown.metric, &labels));
        let (counter, metric) = (shown.kernel, shown.metric);
        let lab = lab.get(counter).copied().unwrap_or(0);
        (grown < lab).then(|| {
            format!("{counter}: the lab's namespaces have {lab}, {metric} grew by {grown}")
        })
    })
}

/// Whether each reset was counted that a router's firewall made, where there is a hook for it: by `rejected`
/// scenarios one each, under no port.
#[must_use]
pub fn missed_rejects(rejected: usize, before: &Metrics, after: &Metrics) -> Option<String> {
    let grown = after.router_resets().saturating_sub(before.router_resets());
    let sent = rejected as u64;
    (grown < sent && after.attached().contains(NETFILTER_HOOK))
        .then(|| format!("{grown} of {sent} resets counted that a router's firewall made"))
}

/// Each death that is ignored is counted as such, and no other: `deaths` of them.
#[must_use]
pub fn ignored(
    deaths: u64,
    before: &Metrics,
    after: &Metrics,
    exactness: Exactness,
) -> Option<String> {
    const METRIC: &str = "halfopen_deaths_ignored_total";
    let grown = after
        .sum(METRIC, &[])
        .saturating_sub(before.sum(METRIC, &[]));
    let is_right = match exactness {
        Exactness::Exact => grown == deaths,
        Exactness::NeverOver => grown <= deaths,
    };
    (!is_right).then(|| format!("{METRIC} grew by {grown}, {deaths} were to be ignored"))
}

fn compare(lab: LabTotals, host: AgentTotals, exactness: Exactness) -> Result<(), String> {
    if host.kernel < lab.kernel {
        return Err(format!(
            "the lab's namespaces have {}, the agent read only {}: it misses namespaces",
            lab.kernel, host.kernel
        ));
    }
    if host.overcounted > 0 {
        return Err(format!("{} counted that never happened", host.overcounted));
    }
    if host.counted + host.unaccounted != host.kernel {
        return Err(format!(
            "{} counted and {} unaccounted do not make the kernel's {}",
            host.counted, host.unaccounted, host.kernel
        ));
    }
    // Where the rows are over, they say so themselves.
    let short = lab.kernel.saturating_sub(lab.counted);
    let elsewhere = host.kernel - lab.kernel;
    let allowed = match exactness {
        Exactness::Exact => 0..=0,
        Exactness::NeverOver => short..=short + elsewhere,
    };
    if allowed.contains(&host.unaccounted) {
        return Ok(());
    }
    Err(format!(
        "{} unaccounted, from {} to {} would be right: {short} are missing in the rows above",
        host.unaccounted,
        allowed.start(),
        allowed.end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lab: (u64, u64), host: (u64, u64, u64), exactness: Exactness, right: bool) {
        let totals = LabTotals {
            kernel: lab.0,
            counted: lab.1,
        };
        let of = |(kernel, counted, unaccounted)| AgentTotals {
            kernel,
            counted,
            unaccounted,
            overcounted: 0,
        };
        let result = compare(totals, of(host), exactness);
        assert_eq!(
            result.is_ok(),
            right,
            "{lab:?} {host:?} {exactness:?} {result:?}"
        );
    }

    #[test]
    fn exact_means_nothing_unaccounted() {
        check((5, 5), (5, 5, 0), Exactness::Exact, true);
        check((5, 5), (7, 7, 0), Exactness::Exact, true);
        check((5, 4), (5, 4, 1), Exactness::Exact, false);
        check((5, 5), (4, 4, 0), Exactness::Exact, false);
        check((5, 5), (5, 4, 0), Exactness::Exact, false);
    }

    #[test]
    fn a_shortfall_is_accounted_for() {
        check((5, 3), (5, 3, 2), Exactness::NeverOver, true);
        check((5, 3), (5, 5, 0), Exactness::NeverOver, false);
        check((5, 3), (5, 4, 1), Exactness::NeverOver, false);
        check((5, 5), (5, 4, 1), Exactness::NeverOver, false);
        check((5, 4), (6, 4, 2), Exactness::NeverOver, true);
        check((5, 4), (6, 3, 3), Exactness::NeverOver, false);
    }

    #[test]
    fn a_routers_resets_are_missed_only_where_they_are_seen() {
        let readings = |mechanism, netfilter| {
            Metrics::parse(&format!(
                "halfopen_hook_attached{{hook=\"nf_ct_attach\",mechanism=\"{mechanism}\"}} 1\n\
                 halfopen_resets_sent_total{{direction=\"none\",reason=\"netfilter\"}} {netfilter}\n\
                 halfopen_resets_sent_total{{direction=\"none\",reason=\"no_socket\"}} 9\n\
                 halfopen_resets_sent_total{{direction=\"inbound\",reason=\"netfilter\"}} 9\n"
            ))
            .unwrap()
        };
        let missed = |mechanism, after| {
            missed_rejects(2, &readings(mechanism, 3), &readings(mechanism, after)).is_some()
        };
        assert!(!missed("fentry", 5));
        assert!(missed("fentry", 4));
        assert!(!missed("none", 3));
        assert_eq!(readings("fentry", 3).stray_resets(), 9);
    }

    #[test]
    fn ignored_deaths_are_never_too_many() {
        let text = |ignored| {
            Metrics::parse(&format!("halfopen_deaths_ignored_total {ignored}\n")).unwrap()
        };
        let is_wrong = |after, exactness| ignored(2, &text(5), &text(after), exactness).is_some();
        assert!(!is_wrong(7, Exactness::Exact));
        assert!(is_wrong(6, Exactness::Exact));
        assert!(!is_wrong(6, Exactness::NeverOver));
        assert!(is_wrong(8, Exactness::NeverOver));
    }

    #[test]
    fn each_shown_counter_holds_the_labs_part() {
        let text = |sent, overflows| {
            Metrics::parse(&format!(
                "halfopen_syn_cookies_total{{outcome=\"sent\"}} {sent}\n\
                 halfopen_syn_cookies_total{{outcome=\"failed\"}} 50\n\
                 halfopen_accept_queue_overflows_total {overflows}\n"
            ))
            .unwrap()
        };
        let lab = BTreeMap::from([("SyncookiesSent", 3), ("ListenOverflows", 1)]);
        let missed = |sent, overflows| {
            let (before, after) = (text(10, 4), text(sent, overflows));
            missed(&lab, &before, &after).collect::<Vec<_>>()
        };
        assert_eq!(missed(13, 5), [""; 0]);
        assert_eq!(missed(20, 9), [""; 0]);
        assert_eq!(missed(12, 5).len(), 1);
        assert_eq!(missed(12, 4).len(), 2);
    }

    #[test]
    fn readings_are_compared_by_what_they_grew() {
        let text = |kernel, counted| {
            Metrics::parse(&format!(
                "halfopen_kernel_events_total{{counter=\"OutRsts\"}} {kernel}\n\
                 halfopen_hook_events_total{{counter=\"OutRsts\"}} {counted}\n\
                 halfopen_unaccounted_events_total{{counter=\"OutRsts\"}} 0\n"
            ))
            .unwrap()
        };
        let lab = BTreeMap::from([(
            "OutRsts",
            LabTotals {
                kernel: 2,
                counted: 2,
            },
        )]);
        let assessed = classify(&lab, &text(10, 10), &text(12, 12), Exactness::Exact);
        assert_eq!(assessed.wrong, [""; 0]);
        assert_eq!(
            classify(&lab, &text(10, 10), &text(12, 11), Exactness::Exact)
                .wrong
                .len(),
            1
        );
        assert_eq!(
            classify(&lab, &text(10, 10), &text(11, 11), Exactness::Exact)
                .wrong
                .len(),
            1
        );
    }
}
