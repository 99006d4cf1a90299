//! Prometheus's own judgement of the rules in `dashboards/rules`.
//! It must never pass because it found no rule, or no test of one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// `promtool check rules` on all of them, and `promtool test rules`: each alert fires, and stays silent.
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
