//! One boot: QEMU with two serial ports, one for the console, one for the self-test's rows.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// Longer than any healthy run on a loaded machine by far.
const LIMIT: Duration = Duration::from_secs(8 * 60);

const TAIL: usize = 30;

/// What the first process says on the console just before it starts the self-test.
const BEGINS: &str = "halfopen begins: ";

/// What a guest sent back.
pub struct Outcome {
    /// The rows of the self-test, as text.
    pub rows: String,
    /// The self-test's exit code; nothing where the guest ended without telling one.
    pub exit: Option<i32>,
    /// Whether it came as far as the self-test: before that, no program of ours is in its kernel.
    pub has_begun: bool,
    /// The end of the console, for a run that failed.
    pub console: String,
    /// How long the whole guest took.
    pub took: Duration,
}

/// fentry where probes have to be counted at `tcp_write_wakeup`, as on a kernel that has made
/// `tcp_xmit_probe_skb` part of its callers.
pub const WAKEUP: &str = "wakeup";

/// What a guest plays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Every scenario.
    Scenarios,
    /// A storm of this many connections.
    Storm(u32),
    /// Connections that live on for this many seconds.
    Living(u32),
}

/// Boots a guest and waits for its end.
pub fn boot(
    kernel: &Path,
    initrd: &Path,
    mechanism: &str,
    play: Play,
    logs: &Path,
) -> Result<Outcome> {
    let (console, rows) = (logs.join("console.log"), logs.join("rows.jsonl"));
    let errors = logs.join("qemu.log");
    let qemu = process::find("qemu-system-x86_64").context("qemu-system-x86_64 is not there")?;
    let mut command = Command::new(qemu);
    // Software emulation always: nested KVM may exist and yet hang.
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "768",
    ]);
    command.args([
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-no-reboot",
    ]);
    command
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    command
        .arg("-serial")
        .arg(format!("file:{}", rows.display()));
    command
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd);
    // The kernel hands unknown settings to the first process as its environment.
    let environment = match mechanism {
        WAKEUP => "HOOKS=fentry HALFOPEN_WITHOUT_HOOK=tcp_xmit_probe_skb".to_owned(),
        mechanism => format!("HOOKS={mechanism}"),
    };
    let play = match play {
        Play::Scenarios => String::new(),
        Play::Storm(connections) => format!("STORM={connections}"),
        Play::Living(seconds) => format!("LIVING={seconds}"),
    };
    command
        .arg("-append")
        .arg(format!("console=ttyS0 panic=-1 quiet {environment} {play}"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
        .stderr(File::create(&errors).with_context(|| format!("creating {}", errors.display()))?);
    for stale in [&console, &rows] {
        let _ = fs::remove_file(stale);
    }
    let start = Instant::now();
    let mut child = command.spawn().context("starting qemu-system-x86_64")?;
    let in_time = wait(&mut child, start)?;
    let took = start.elapsed();
    let said = read(&rows);
    let shown = read(&console);
    let mut tail = tail(&shown);
    tail.push_str(&read(&errors));
    if !in_time {
        bail!(
            "stopped after {} s without an end; its console ended in:\n{tail}",
            LIMIT.as_secs()
        );
    }
    let exit = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("exit ")?.parse().ok());
    Ok(Outcome {
        rows: said,
        exit,
        has_begun: has_begun(&shown),
        console: tail,
        took,
    })
}

/// Whether the guest ended by itself.
fn wait(child: &mut Child, start: Instant) -> Result<bool> {
    while child.try_wait().context("waiting for qemu")?.is_none() {
        if start.elapsed() > LIMIT {
            child.kill().context("stopping qemu")?;
            child.wait().context("waiting for qemu")?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(true)
}

fn has_begun(console: &str) -> bool {
    console.lines().any(|line| line.starts_with(BEGINS))
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines[from..]
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_begins_with_the_self_test() {
        assert!(has_begun("halfopen begins: kernel 6.1.0\nKernel panic"));
        assert!(!has_begun(
            "[    1.24] Oops: int3: 0000\n[    1.25] Kernel panic"
        ));
        assert!(!has_begun(""));
        let first_process = include_str!("init");
        let (before, after) = first_process
            .split_once(&format!("echo \"{BEGINS}"))
            .unwrap();
        assert!(!before.contains("halfopen selftest"), "too late");
        assert!(after.contains("halfopen selftest"), "of something else");
    }
}
