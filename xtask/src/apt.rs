//! Programs and files that the system must have: looked for, installed on Debian 12, named elsewhere.
//! A line says what is installed and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use anyhow::{Context, Result, bail};

use crate::process;

/// One thing the system must provide.
#[derive(Clone, Copy)]
pub struct Need {
    /// A program looked for on the PATH, or the absolute path of a file.
    pub probe: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// What we do with it.
    pub why: &'static str,
}

impl Need {
    /// Whether it is there.
    pub fn is_met(&self) -> bool {
        if self.probe.starts_with('/') {
            Path::new(self.probe).exists()
        } else {
            process::find(self.probe).is_some()
        }
    }
}

/// What the scenarios run, on this kernel and in guests.
pub const LAB: [Need; 2] = [
    Need {
        probe: "ip",
        package: "iproute2",
        why: "joins the network namespaces in which connections die",
    },
    Need {
        probe: "nft",
        package: "nftables",
        why: "drops packets inside those namespaces",
    },
];

/// Makes sure that everything needed is there.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !is_debian_12() {
        for need in &missing {
            eprintln!(
                "missing: {} (Debian package {}): {}",
                need.probe, need.package, need.why
            );
        }
        bail!(
            "this is not Debian 12, so nothing was installed; on a Debian-like system try: \
             apt-get install --no-install-recommends {}",
            packages.join(" ")
        );
    }
    for need in &missing {
        println!("installing {}: {}", need.package, need.why);
    }
    update();
    let mut install = process::as_root("apt-get", "installing packages")?;
    install.args([
        "-qq",
        "-y",
        "-o",
        "Acquire::Retries=3",
        "--no-install-recommends",
        "install",
    ]);
    process::output(
        install
            .args(&packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    if let Some(need) = missing.iter().find(|need| !need.is_met()) {
        bail!(
            "package {} is installed, yet {} is not there",
            need.package,
            need.probe
        );
    }
    Ok(())
}

/// Whether packages may be installed with the names this module knows.
pub fn is_debian_12() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |wanted: &str| release.lines().any(|line| line.replace('"', "") == wanted);
    has("ID=debian") && has("VERSION_ID=12")
}

/// The newest kernel image that a kernel meta package stands for.
pub fn newest_kernel(meta: &str) -> Result<String> {
    let find = || -> Option<String> {
        let depends = process::text(apt_cache().args(["depends", meta])).ok()?;
        let mut names = depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        names
            .find(|name| name.starts_with("linux-image-"))
            .map(str::to_owned)
    };
    if let Some(package) = find() {
        return Ok(package);
    }
    update();
    find().with_context(|| {
        format!(
            "apt knows no package {meta}: its sources must include Debian 12 (bookworm) and the \
             security suite"
        )
    })
}

/// Downloads and unpacks a package under `folder`, once, without installing it.
pub fn unpack(package: &str, folder: &Path) -> Result<PathBuf> {
    let unpacked = folder.join(package);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let work = folder.join(format!("{package}.part"));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Acquire::Retries=3", "download", package]);
        process::output(command.current_dir(&work))
    };
    println!("fetching {package} into {}", folder.display());
    if download().is_err() {
        update();
        download().with_context(|| format!("fetching the Debian package {package}"))?;
    }
    let deb = fs::read_dir(&work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no .deb"))?;
    process::run(
        Command::new("dpkg")
            .arg("-x")
            .arg(&deb)
            .arg(work.join("root")),
    )?;
    fs::rename(work.join("root"), &unpacked)
        .with_context(|| format!("moving {package} to {}", unpacked.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    Ok(unpacked)
}

fn apt_cache() -> Command {
    let mut command = Command::new("apt-cache");
    command.env("LC_ALL", "C");
    command
}

/// Refreshes the package lists once; old lists are tried when that fails.
pub fn update() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let refreshed =
            process::as_root("apt-get", "refreshing the package lists").and_then(|mut apt| {
                process::run(apt.args(["-qq", "-o", "Acquire::Retries=3", "update"]))
            });
        if let Err(why) = refreshed {
            eprintln!("note: {why:#}; going on with the lists that are there");
        }
    });
}
