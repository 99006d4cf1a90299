//! Running other programs: every failure names the command and its output.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Folders of system tools that an ordinary user's PATH often lacks.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// The full path of a program, also where only root's PATH has it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a command to its end with its output shown.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", describe(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to stdout; its stderr goes into the error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{}`", describe(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}\n{}",
            describe(command),
            output.status,
            stderr.trim()
        );
    }
    Ok(output.stdout)
}

/// Like [`output`], as trimmed text.
pub fn text(command: &mut Command) -> Result<String> {
    let bytes = output(command)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Runs a command and hands over each line of its stdout as it comes; stderr is shown.
pub fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{}`", describe(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("reading from `{}`", describe(command)))?;
            each(&String::from_utf8_lossy(&line));
        }
    }
    child
        .wait()
        .with_context(|| format!("waiting for `{}`", describe(command)))
}

/// Asks a program that was started as root to end, if it has not, and waits until it has.
pub fn stop(child: &mut Child) -> Result<ExitStatus> {
    if child.try_wait()?.is_none() {
        // A child of sudo belongs to root: only root's kill reaches it. The shell's own one, since
        // kill(1) comes with a package that a small system may lack.
        let mut kill = as_root("sh", "ending a program that runs as root")?;
        kill.args(["-c", "kill -TERM \"$1\"", "sh", &child.id().to_string()]);
        run(&mut kill)?;
    }
    Ok(child.wait()?)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that runs `program` as root: directly, or through sudo.
pub fn as_root(program: impl AsRef<Path>, why: &str) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else {
        bail!("{why} needs root, and there is no sudo here: run this command as root");
    };
    let mut command = Command::new(sudo);
    command.arg("--").arg(program);
    Ok(command)
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
