//! Programs of Prometheus.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::skip;

/// The folder in which promtool and prometheus are; `cargo xtask test` sets it.
const FOLDER: &str = "HALFOPEN_PROMETHEUS";

/// A program of Prometheus; `None`, having said so, where there is none.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = env::var_os(FOLDER).map(|folder| Path::new(&folder).join(name));
    if found.is_none() {
        skip(&format!("{FOLDER} is not set: `cargo xtask test` sets it"));
    }
    found
}
