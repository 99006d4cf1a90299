//! Real programs for the tests, in a private root below the build folder: fetched with apt, unpacked
//! without being installed.
//!
//! # Invariants
//! The system stays as it is: no maintainer script runs, no service is set up or started.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{apt, process, workspace};

/// The environment variable that names the root to the tests.
pub const ROOT_VARIABLE: &str = "HALFOPEN_PROGRAMS_ROOT";

/// Programs by the test's name for them (agent/lab/programs), with the Debian package.
const PROGRAMS: [Named; 7] = [
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("sshd", "openssh-server"),
    ("redis", "redis-server"),
    ("postgresql", "postgresql-15"),
    ("node", "nodejs"),
    ("gunicorn", "gunicorn"),
];

/// Runs a container with one of them (agent/tests/privileged/host/container.rs).
const RUNTIME: Named = ("crun", "crun");

/// No package depends on it, since every Debian system has it.
const SHELL: &str = "dash";

/// Dependencies for installation, for other languages or for compilation at run time: without them the
/// download is half as large. apt reads in its status file that they are installed.
const SPARED: [&str; 37] = [
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "iproute2",
    "libc-bin",
    "libc-l10n",
    "libcap2-bin",
    "libfile-find-rule-perl",
    "libjson-perl",
    "libllvm14",
    "libpam-runtime",
    "libperl5.36",
    "libtext-glob-perl",
    "libz3-4",
    "locales",
    "locales-all",
    "lsb-base",
    "media-types",
    "openssh-sftp-server",
    "openssl",
    "passwd",
    "perl",
    "perl-base",
    "perl-modules-5.36",
    "postgresql-client-15",
    "postgresql-client-common",
    "postgresql-common",
    "procps",
    "python3-distutils",
    "python3-lib2to3",
    "runit-helper",
    "sensible-utils",
    "ssl-cert",
    "sysvinit-utils",
    "tar",
    "ucf",
];

/// Folders of the root; the first four are what / has links to.
const FOLDERS: [&str; 11] = [
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "dev",
    "etc",
    "proc",
    "run",
    "sys",
    "tmp",
    "missing",
];

/// The users that the programs look up, with the numbers of Debian where it has them.
const USERS: &str = "\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/run:/bin/false
sshd:x:100:65534:sshd:/run/sshd:/bin/false
postgres:x:999:999:postgres:/run:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
";

const GROUPS: &str = "\
root:x:0:
www-data:x:33:
postgres:x:999:
nogroup:x:65534:
";

/// A program by the lab's name for it, with its package.
type Named = (&'static str, &'static str);

/// Makes the root, unless it exists, and returns it. The reason why a program could not be fetched is
/// written there for the test to show; the next run tries again.
pub fn provide() -> Result<PathBuf> {
    let folder = workspace::target().join("programs");
    let (root, here) = (folder.join("root"), folder.join("here"));
    furnish(&root).with_context(|| format!("making {}", root.display()))?;
    fs::create_dir_all(&here).with_context(|| format!("creating {}", here.display()))?;
    let wanted: Vec<Named> = PROGRAMS
        .into_iter()
        .chain([RUNTIME])
        .filter(|(name, _)| !here.join(name).exists())
        .collect();
    if wanted.is_empty() {
        return Ok(root);
    }
    println!(
        "fetching {} and what they need into {}: their peers vanish in the tests (nothing is \
         installed on this system)",
        packages(&wanted).join(", "),
        folder.display()
    );
    for (name, outcome) in fetch(&wanted, &folder, &root) {
        let missing = root.join("missing").join(name);
        match outcome {
            Ok(()) => {
                let _ = fs::remove_file(&missing);
                fs::write(here.join(name), "")
            }
            Err(why) => {
                let why = format!("{why:#}");
                println!("no {name}: {why}");
                // The command comes first, apt's own words last.
                fs::write(&missing, why.lines().last().unwrap_or_default())
            }
        }
        .with_context(|| format!("noting whether {name} is there"))?;
    }
    Ok(root)
}

/// All at once where that works; else one by one, so that one failure prevents no other.
fn fetch(wanted: &[Named], folder: &Path, root: &Path) -> Vec<(&'static str, Result<()>)> {
    let get = |wanted: &[Named]| download(wanted, folder).and_then(|all| unpack(&all, root));
    if get(wanted).is_ok() {
        // Unpacked, they are of no more use.
        let _ = fs::remove_dir_all(archives(folder));
        return wanted.iter().map(|(name, _)| (*name, Ok(()))).collect();
    }
    let alone = |one: &Named| (one.0, get(&[*one]));
    wanted.iter().map(alone).collect()
}

fn packages(programs: &[Named]) -> Vec<&'static str> {
    programs.iter().map(|(_, package)| *package).collect()
}

fn archives(folder: &Path) -> PathBuf {
    folder.join("archives")
}

fn furnish(root: &Path) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        let (link, to) = (root.join(link), Path::new("usr").join(link));
        if link.symlink_metadata().is_err() {
            symlink(to, link)?;
        }
    }
    fs::write(root.join("etc/passwd"), USERS)?;
    Ok(fs::write(root.join("etc/group"), GROUPS)?)
}

/// Downloads packages with all that they need, as if nothing were installed but what is spared; the
/// archives that are there then.
fn download(wanted: &[Named], folder: &Path) -> Result<Vec<PathBuf>> {
    if process::find("apt-get").is_none() {
        bail!("there is no apt-get here: the packages are Debian's");
    }
    let (archives, status) = (archives(folder), folder.join("status"));
    fs::create_dir_all(archives.join("partial"))?;
    fs::write(&status, spared())?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        for (option, value) in [
            ("Acquire::Retries", "3".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Debug::NoLocking", "1".to_owned()),
            ("Dir::Cache::archives", archives.display().to_string()),
            ("Dir::Cache::pkgcache", String::new()),
            ("Dir::Cache::srcpkgcache", String::new()),
            ("Dir::State::status", status.display().to_string()),
        ] {
            command.args(["-o", &format!("{option}={value}")]);
        }
        command.args(["-qq", "-y", "--download-only", "--no-install-recommends"]);
        command.arg("install").args(packages(wanted)).arg(SHELL);
        process::output(command.env("LC_ALL", "C"))
    };
    if apt_get().is_err() {
        apt::update();
        apt_get()?;
    }
    let files = fs::read_dir(&archives)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    Ok(files.filter(is_package).collect())
}

/// The status file by which apt takes packages for installed.
fn spared() -> String {
    SPARED
        .map(|name| {
            format!(
                "Package: {name}\nStatus: install ok installed\nVersion: 999:999\n\
                 Architecture: all\nMulti-Arch: foreign\nMaintainer: nobody\n\
                 Description: done without\n\n"
            )
        })
        .concat()
}

/// Unpacks archives as `dpkg -x` does, but through the links of the root, which that would replace.
fn unpack(archives: &[PathBuf], root: &Path) -> Result<()> {
    for archive in archives {
        let mut dpkg = Command::new("dpkg");
        let mut files = dpkg
            .arg("--fsys-tarfile")
            .arg(archive)
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start `dpkg`")?;
        let mut tar = Command::new("tar");
        tar.args(["-xp", "--keep-directory-symlink", "--no-same-owner", "-C"]);
        if let Some(stdout) = files.stdout.take() {
            process::run(tar.arg(root).stdin(stdout))?;
        }
        let status = files.wait()?;
        if !status.success() {
            bail!("`{}` failed: {status}", process::describe(&dpkg));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PROGRAMS, SPARED, workspace};

    #[test]
    fn the_lab_knows_every_program() {
        let folder = workspace::root().join("agent/lab/programs/src/catalog");
        for (name, package) in PROGRAMS {
            assert!(folder.join(format!("{name}.rs")).is_file(), "{name}");
            assert!(!SPARED.contains(&package), "{package}");
        }
    }
}
