//! What tests with and without root share.

pub mod binary;
pub mod certificates;
pub mod handed_over;
pub mod http;
pub mod promtool;
pub mod web_config;

use std::{
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

/// What has not happened by then never will; longer than a busy machine needs.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Waits for what others do; fails after [`LIMIT`].
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Reports that the calling test cannot run. Past the test harness, which keeps what a passing test prints to itself.
pub fn skip(why: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let mut report = io::stdout().lock();
    report
        .write_all(format!("\nskipped: {name}: {why}\n").as_bytes())
        .unwrap();
}
