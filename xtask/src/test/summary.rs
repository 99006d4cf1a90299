//! What a run of tests ends with: the tables of the self-tests, then the report.

use super::report::{Report, Tally};
use super::rows::Selftest;
use super::table;

/// Keeps a self-test for the table, and returns its counts.
pub fn keep(selftests: &mut Vec<Selftest>, selftest: Selftest) -> Tally {
    let tally = Tally {
        passed: selftest.passed(),
        failed: selftest.failed(),
        ..Tally::default()
    };
    selftests.push(selftest);
    tally
}

/// Prints the results, and ends the process with a failure where there is one.
pub fn conclude(report: &Report, played: &[(&str, &[Selftest])]) {
    for (what, selftests) in played.iter().filter(|(_, selftests)| !selftests.is_empty()) {
        println!("\n=== {what}, as counted on each kernel by each mechanism\n");
        print!("{}", table::draw(selftests));
    }
    if report.print().failed > 0 {
        // The counts are the last word; an error message after them would bury them.
        std::process::exit(1);
    }
}
