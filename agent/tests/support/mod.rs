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
};

/// Reports that the calling test cannot run. Past the test harness, which keeps what a passing test prints to itself.
pub fn skip(why: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let mut report = io::stdout().lock();
    report
        .write_all(format!("\nskipped: {name}: {why}\n").as_bytes())
        .unwrap();
}
