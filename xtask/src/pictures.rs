//! `cargo xtask pictures`: the dashboards as an operator would see them, drawn by Grafana's own panels.
//! A query that fails or returns nothing fails the task.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Need;
use crate::{apt, process, workspace};

/// The packages that drawing needs; the rest comes from npm, pinned by the lock file.
const NEEDS: [Need; 3] = [
    Need {
        probe: "node",
        package: "nodejs",
        why: "runs the queries and the bundler of the dashboards' pictures",
    },
    Need {
        probe: "npm",
        package: "npm",
        why: "fetches Grafana's panel components, as the lock file pins them",
    },
    Need {
        probe: CHROMIUM,
        package: "chromium",
        why: "draws the dashboards' pictures",
    },
];
const CHROMIUM: &str = "/usr/bin/chromium";

/// The oldest Node.js that the renderer is tried with: that of Debian 12.
const OLDEST_NODE: u32 = 18;

/// What `cargo xtask pictures` was asked.
#[derive(clap::Args)]
pub struct Args {
    /// Run the renderer's own tests, and draw nothing.
    #[arg(long)]
    tests: bool,
    /// Address of the Prometheus server that has the data.
    #[arg(long, value_name = "URL", required_unless_present = "tests")]
    prometheus: Option<String>,
    /// Start of the range that is shown, in seconds since 1970.
    #[arg(long, value_name = "UNIX", required_unless_present = "tests")]
    from: Option<u64>,
    /// End of the range.
    #[arg(long, value_name = "UNIX", required_unless_present = "tests")]
    to: Option<u64>,
    /// Folder of the pictures, one NAME.png for each NAME.json.
    #[arg(long, value_name = "DIR", required_unless_present = "tests")]
    out: Option<PathBuf>,
    /// How often that Prometheus scrapes, as set in the data source of Grafana.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    scrape_interval: String,
    /// Instances to show; all where none is named.
    #[arg(long, value_name = "HOST:PORT")]
    instance: Vec<String>,
    /// Values of other variables.
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// A panel, or with `TITLE / A` one query of it, that may be without data, and why.
    #[arg(long, value_name = "TITLE=REASON")]
    allow_empty: Vec<String>,
    /// Dashboards to draw; those in dashboards/ where none is named.
    dashboards: Vec<PathBuf>,
    /// Further flags of the renderer, such as `--theme light`, `--scale 2`, `--panels`, `--json`.
    #[arg(last = true)]
    renderer: Vec<OsString>,
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    if args.tests {
        let (passed, failed) = tests()?;
        println!("{passed} passed, {failed} failed");
        if failed > 0 {
            bail!("the renderer's own tests fail");
        }
        return Ok(());
    }
    let mut renderer = renderer()?;
    if let Some(url) = &args.prometheus {
        renderer.arg("--prometheus").arg(url);
    }
    for (flag, seconds) in [("--from", args.from), ("--to", args.to)] {
        if let Some(seconds) = seconds {
            renderer.arg(flag).arg(seconds.to_string());
        }
    }
    if let Some(out) = &args.out {
        renderer.arg("--out").arg(out);
    }
    renderer.arg("--scrape-interval").arg(&args.scrape_interval);
    for instance in &args.instance {
        renderer.arg("--var").arg(format!("instance={instance}"));
    }
    for var in &args.var {
        renderer.arg("--var").arg(var);
    }
    for allowed in &args.allow_empty {
        renderer.arg("--allow-empty").arg(allowed);
    }
    renderer.args(&args.renderer);
    if args.dashboards.is_empty() {
        renderer.args(dashboards()?);
    } else {
        renderer.args(&args.dashboards);
    }
    process::run(&mut renderer)
}

/// Runs the renderer's own tests: how many passed, how many failed.
pub fn tests() -> Result<(u32, u32)> {
    let folder = installed()?;
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=tap"])
        .current_dir(&folder);
    let (mut passed, mut failed) = (None, None);
    let status = process::lines(&mut node, |line| {
        println!("{line}");
        let count = |what: &str| line.strip_prefix(what)?.trim().parse().ok();
        passed = count("# pass ").or(passed);
        failed = count("# fail ").or(failed);
    })?;
    match (passed, failed) {
        (Some(passed), Some(failed))
            if status.success() == (failed == 0) && passed + failed > 0 =>
        {
            Ok((passed, failed))
        }
        _ => bail!(
            "`{}` in {} ended with {status}, and says neither what passed nor what failed",
            process::describe(&node),
            folder.display()
        ),
    }
}

/// The renderer, ready to take its flags; everything it needs is there.
pub fn renderer() -> Result<Command> {
    let mut command = Command::new("node");
    command
        .arg(installed()?.join("src/main.mjs"))
        .args(["--chromium", CHROMIUM]);
    Ok(command)
}

/// The dashboards that this repository ships.
pub fn dashboards() -> Result<Vec<PathBuf>> {
    let folder = workspace::root().join("dashboards");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    if found.is_empty() {
        bail!("there is no dashboard in {}", folder.display());
    }
    found.sort();
    Ok(found)
}

/// The renderer's folder, with its packages as the lock file names them.
fn installed() -> Result<PathBuf> {
    apt::ensure(&NEEDS)?;
    check_node()?;
    let folder = workspace::root().join("dashboards/render");
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
    // npm itself leaves no word of which lock file a finished installation came from.
    let stamp = folder.join("node_modules/.installed-from");
    if !is_installed(&stamp, &wanted) {
        println!("installing the packages of {}", lock.display());
        process::run(Command::new("npm").arg("ci").current_dir(&folder))?;
        fs::write(&stamp, &wanted).with_context(|| format!("writing {}", stamp.display()))?;
    }
    Ok(folder)
}

fn is_installed(stamp: &Path, wanted: &[u8]) -> bool {
    fs::read(stamp).is_ok_and(|found| found == wanted)
}

fn check_node() -> Result<()> {
    let version = process::text(Command::new("node").arg("--version"))?;
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        _ => bail!(
            "the node on the PATH is {version}; the renderer needs Node.js {OLDEST_NODE} or newer"
        ),
    }
}

/// The first number of a version such as `v18.20.4`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_of_node() {
        for (version, expected) in [
            ("v18.20.4", Some(18)),
            ("v20.20.2", Some(20)),
            ("18.20.4", None),
            ("node", None),
        ] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
