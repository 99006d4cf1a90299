//! The dashboards, drawn from what a real Prometheus recorded while the tests let connections die. A
//! panel without data is a failure.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::Tally;
use crate::{pictures, process, prometheus, workspace};

/// The range that the recording test wrote down, in seconds since 1970.
#[derive(Deserialize)]
struct Story {
    from: u64,
    to: u64,
}

/// The tests of the renderer itself.
pub fn own_tests() -> Result<Tally> {
    let (passed, failed) = pictures::tests()?;
    Ok(Tally {
        passed: usize::try_from(passed)?,
        failed: usize::try_from(failed)?,
        ..Tally::default()
    })
}

/// Draws every dashboard into target/pictures.
pub fn draw(record: &Path) -> Result<()> {
    let path = record.join("story.json");
    let file = File::open(&path).with_context(|| {
        format!(
            "opening {}, which the test of the dashboards writes when it passes",
            path.display()
        )
    })?;
    let story: Story = serde_json::from_reader(file)?;
    let server = prometheus::Server::start(record)?;
    let out = workspace::target().join("pictures");
    let _ = fs::remove_dir_all(&out);
    let mut renderer = pictures::renderer()?;
    renderer
        .args(["--prometheus", &format!("http://{}", server.address)])
        .args(["--from", &story.from.to_string()])
        .args(["--to", &story.to.to_string()])
        .args(["--scrape-interval", "1s"])
        .arg("--out")
        .arg(&out)
        .args(pictures::dashboards()?);
    process::run(&mut renderer)?;
    println!("drawn into {}", out.display());
    Ok(())
}
