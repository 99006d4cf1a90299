//! Prometheus' own check of the rules in `dashboards/rules`. A folder without rules, or without tests of
//! them, is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// `promtool check rules`, and `promtool test rules`: when each alert fires and when it does not.
pub fn check(promtool: &Path) -> Result<()> {
    let folder = workspace::root().join("dashboards/rules");
    for (verb, folder) in [("check", folder.clone()), ("test", folder.join("tests"))] {
        let files = yaml(&folder).with_context(|| format!("reading {}", folder.display()))?;
        ensure!(
            !files.is_empty(),
            "there is no .yml in {}",
            folder.display()
        );
        process::run(Command::new(promtool).args([verb, "rules"]).args(files))?;
    }
    Ok(())
}

fn yaml(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    Ok(files)
}
