//! What all cases together show: by cause, and by the kernel's counters.

use std::collections::BTreeMap;

use crate::{
    classify::{
        assessment::{Assessment, Exactness},
        counterparts::kernel_counterparts,
        expectations::OPEN,
        totals::LabTotals,
    },
    net::end::{ENDS, End},
    report::ReportRow,
    stress::reconcile::{CaseRecord, EndCounts},
};

const UNKNOWN: &str = "unknown";

/// A hook that misses all of so many is broken, even where some may be missed.
const SEVERAL: u64 = 3;

/// One cause at one kind of ends.
#[derive(Debug, Default, Clone, Copy)]
struct CauseSums {
    ledger: u64,
    deaths: u64,
    records: u64,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct StressSums {
    causes: BTreeMap<(String, End), CauseSums>,
    kernel: BTreeMap<&'static str, u64>,
    /// What the death records say must have moved.
    certified: BTreeMap<&'static str, u64>,
    /// Deaths whose cause was inferred.
    inferred: BTreeMap<End, u64>,
    lab: BTreeMap<&'static str, LabTotals>,
}

/// The kernel's counters that deaths alone move.
const COUNTERS: [&str; 3] = ["TCPAbortOnTimeout", "EstabResets", "AttemptFails"];

/// Which of them a death moves (kernel facts, "Deaths" and "Reconciling").
fn moved(cause: &str, path: &str, end: End) -> &'static [&'static str] {
    match (cause, end) {
        // In FIN_WAIT1 and FIN_WAIT2 a connection is established no more.
        _ if path == "closed_while_peer_sent" => &[],
        (
            "keepalive" | "user_timeout" | "retransmission" | "window_probe" | "local_send_failure",
            _,
        ) => &["TCPAbortOnTimeout", "EstabResets"],
        ("reset_sent" | "reset_received" | "administrative", _) => &["EstabResets"],
        ("orphan", _) => &["TCPAbortOnTimeout"],
        ("connect_timeout", End::Client) => &["TCPAbortOnTimeout", "AttemptFails"],
        ("refused" | "unreachable", _) => &["AttemptFails"],
        // Neither a request socket's end nor a connect that is given up moves any.
        _ => &[],
    }
}

impl StressSums {
    /// Adds one host.
    pub(super) fn add(&mut self, case_record: &CaseRecord, counts: &EndCounts<'_>) {
        let end = counts.end;
        let mut cause = |name: &str, add: &dyn Fn(&mut CauseSums)| {
            add(self.causes.entry((name.to_owned(), end)).or_default());
        };
        for (death, count) in case_record.ledger.deaths(case_record.case, end) {
            cause(death.cause, &|sum| sum.ledger += count);
        }
        for (key, count) in &counts.counted {
            let death = key.strip_prefix("deaths{");
            if let Some(name) = death.and_then(|rest| rest.strip_suffix('}')) {
                cause(name, &|sum| sum.deaths += count);
            }
        }
        for record in &counts.records {
            cause(&record.cause, &|sum| sum.records += 1);
        }
        for record in &counts.records {
            for counter in moved(&record.cause, &record.path, end) {
                *self.certified.entry(counter).or_default() += 1;
            }
            *self.inferred.entry(end).or_default() += u64::from(record.inferred);
        }
        for counter in COUNTERS {
            *self.kernel.entry(counter).or_default() += counts.kernel.get(counter);
        }
        for (counter, counted) in kernel_counterparts(&counts.counted) {
            let lab = self.lab.entry(counter).or_insert(LabTotals {
                kernel: 0,
                counted: 0,
            });
            let kernel = counts.kernel.get(counter);
            lab.kernel += kernel;
            // A request's end has a cause that the kernel counts of full sockets alone.
            lab.counted += counted.min(kernel);
        }
    }

    /// A row for each cause.
    pub(super) fn causes(&self, exactness: Exactness) -> Vec<ReportRow> {
        let mut assessments: BTreeMap<&str, Assessment> = BTreeMap::new();
        for ((name, end), sum) in &self.causes {
            let assessment = assessments.entry(name).or_default();
            assessment.compare_at(*end, "deaths", sum.ledger, sum.deaths, exactness);
            assessment.compare_at(*end, "certificates", sum.ledger, sum.records, exactness);
            if sum.ledger >= SEVERAL && sum.records == 0 {
                assessment.wrong.push(format!(
                    "{}: no certificate for any of {}",
                    end.direction(),
                    sum.ledger
                ));
            }
        }
        let row = |(name, assessment): (&str, Assessment)| {
            let title = "all fronts together, as done, counted and certified".to_owned();
            ReportRow::new(format!("cause {name}"), title, assessment)
        };
        assessments.into_iter().map(row).collect()
    }

    /// The kernel's counters beside the death records of deaths that move them.
    pub(super) fn kernel(&self, exactness: Exactness) -> Assessment {
        let mut assessment = Assessment::default();
        for counter in COUNTERS {
            let kernel = self.kernel.get(counter).copied().unwrap_or(0);
            let certified = self.certified.get(counter).copied().unwrap_or(0);
            assessment.compare(counter, kernel, certified, exactness);
            assessment
                .expected
                .insert(counter.to_owned(), kernel.into());
            assessment.kernel.insert(counter.to_owned(), kernel.into());
            assessment
                .counted
                .insert(counter.to_owned(), certified.into());
        }
        assessment
    }

    /// The compared counters' totals, `stray` resets having been counted under no port.
    pub(super) fn lab(&self, stray: u64) -> BTreeMap<&'static str, LabTotals> {
        let mut lab = self.lab.clone();
        if let Some(resets) = lab.get_mut("OutRsts") {
            resets.counted += stray;
        }
        lab
    }

    /// Deaths whose cause follows from the sockets' fields: none where functions are hooked.
    pub(super) fn inferred(&self, exactness: Exactness) -> Assessment {
        let mut assessment = Assessment::default();
        for end in ENDS {
            let inferred = self.inferred.get(&end).copied().unwrap_or(0);
            if exactness == Exactness::Exact {
                assessment.compare_at(end, "certificates", 0, inferred, exactness);
                continue;
            }
            let key = format!("{} certificates", end.direction());
            assessment.counted.insert(key.clone(), inferred.into());
            assessment.expected.insert(key, OPEN.into());
        }
        assessment
    }

    /// Deaths that nobody can explain: there must be none.
    pub(super) fn unknown(&self) -> Assessment {
        let mut assessment = Assessment::default();
        for end in ENDS {
            let sum = self.causes.get(&(UNKNOWN.to_owned(), end)).copied();
            let sum = sum.unwrap_or_default();
            assessment.compare_at(end, "deaths", 0, sum.deaths, Exactness::Exact);
            assessment.compare_at(end, "certificates", 0, sum.records, Exactness::Exact);
        }
        assessment
    }
}
