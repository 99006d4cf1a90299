//! Virtual machines: Debian kernels booted by QEMU in software emulation, with an initramfs that
//! holds the release binary. Guests have their own, slow clock: nothing here assumes times in them.

mod cpio;
mod guest;
mod image;
mod kernel;
mod modules;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::apt::{self, Need};
use crate::workspace;
pub use guest::Outcome;

/// The kernels: a name for people, and the package that stands for the newest of that line.
const KERNELS: [(&str, &str); 2] = [
    ("6.1", "linux-image-cloud-amd64"),
    ("6.12", "linux-image-6.12-cloud-amd64"),
];

const MECHANISMS: [&str; 4] = ["fentry", "kprobe", "tracepoint", guest::WAKEUP];

/// Where a storm passes when nothing is chosen: where every event must be seen.
const STORMS: [(&str, &str); 2] = [("6.1", "kprobe"), ("6.12", "fentry")];

/// Guests at a time. Scenarios have times to keep, and a guest has two processors, as we have; a storm
/// takes the time that it takes.
const SCENARIO_GUESTS: usize = 1;
const STORM_GUESTS: usize = 2;

const NEEDS: [Need; 4] = [
    Need {
        probe: "qemu-system-x86_64",
        package: "qemu-system-x86",
        why: "boots other kernels for the tests",
    },
    apt::LAB[0],
    apt::LAB[1],
    Need {
        probe: "xz",
        package: "xz-utils",
        why: "unpacks the guests' kernel modules",
    },
];

/// Which guests to boot; all of them where nothing is chosen.
#[derive(Default, clap::Args)]
pub struct Choice {
    /// Only this kernel line, such as 6.12.
    #[arg(long)]
    kernel: Option<String>,
    /// Only this hook mechanism.
    #[arg(long)]
    hooks: Option<String>,
    /// A storm of so many connections instead of the scenarios.
    #[arg(long, value_name = "N")]
    storm: Option<u32>,
}

impl Choice {
    /// A storm where the storms pass.
    pub fn storm(connections: u32) -> Self {
        Self {
            storm: Some(connections),
            ..Self::default()
        }
    }

    /// Whether it is not the scenarios that are played.
    pub const fn is_storm(&self) -> bool {
        self.storm.is_some()
    }

    fn is_wanted(&self, kernel: &str, mechanism: &str) -> bool {
        if self.is_storm() && self.kernel.is_none() && self.hooks.is_none() {
            return STORMS.contains(&(kernel, mechanism));
        }
        let wanted = |choice: &Option<String>, name| choice.as_deref().is_none_or(|it| it == name);
        wanted(&self.kernel, kernel) && wanted(&self.hooks, mechanism)
    }
}

/// One kernel with one mechanism, and how it went.
pub struct Run {
    /// The kernel line, such as `6.12`.
    pub kernel: &'static str,
    /// The hook mechanism.
    pub mechanism: &'static str,
    /// What came back, or why nothing did.
    pub outcome: Result<Outcome>,
}

struct Job {
    kernel: &'static str,
    mechanism: &'static str,
    vmlinuz: PathBuf,
    initrd: PathBuf,
    storm: Option<u32>,
}

/// Boots the chosen kernels with the chosen mechanisms; `done` is called with each run as it ends.
pub fn run_all(binary: &Path, choice: &Choice, done: impl Fn(&Run) + Sync) -> Result<Vec<Run>> {
    apt::ensure(&NEEDS)?;
    let folder = workspace::target().join("vm");
    let busybox = apt::unpack("busybox-static", &folder)?.join("bin/busybox");
    let mut jobs = VecDeque::new();
    for (name, meta) in KERNELS {
        let mechanisms = MECHANISMS.into_iter();
        let mut mechanisms = mechanisms
            .filter(|it| choice.is_wanted(name, it))
            .peekable();
        if mechanisms.peek().is_none() {
            continue;
        }
        let kernel = kernel::fetch(meta, &folder)?;
        let initrd = folder.join(format!("initramfs-{name}.cpio"));
        image::write(&initrd, binary, &busybox, &kernel)
            .with_context(|| format!("making the initramfs for kernel {name}"))?;
        for mechanism in mechanisms {
            let vmlinuz = kernel.vmlinuz.clone();
            jobs.push_back(Job {
                kernel: name,
                mechanism,
                vmlinuz,
                initrd: initrd.clone(),
                storm: choice.storm,
            });
        }
    }
    if jobs.is_empty() {
        let kernels = KERNELS.map(|kernel| kernel.0);
        bail!("no such guest: the kernels are {kernels:?}, the mechanisms {MECHANISMS:?}");
    }
    let (jobs, runs) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    // Apart from the loop, which would hold the lock for as long as a guest runs.
    let next = || lock(&jobs).pop_front();
    thread::scope(|scope| {
        let guests = match choice.storm {
            Some(_) => STORM_GUESTS,
            None => SCENARIO_GUESTS,
        };
        for _ in 0..guests {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let run = run(&job, &folder);
                    done(&run);
                    lock(&runs).push(run);
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let order = |name: &str| KERNELS.iter().position(|kernel| kernel.0 == name);
    runs.sort_by_key(|run| {
        (
            order(run.kernel),
            MECHANISMS.iter().position(|m| *m == run.mechanism),
        )
    });
    Ok(runs)
}

fn run(job: &Job, folder: &Path) -> Run {
    let storm = job.storm.map_or("", |_| "-storm");
    let logs = folder
        .join("logs")
        .join(format!("{}-{}{storm}", job.kernel, job.mechanism));
    let boot = || guest::boot(&job.vmlinuz, &job.initrd, job.mechanism, job.storm, &logs);
    let mut outcome = fs::create_dir_all(&logs)
        .with_context(|| format!("creating {}", logs.display()))
        .and_then(|()| boot());
    // Emulated processors now and then run an instruction that the kernel has just rewritten on the
    // other one, and its kernel ends with "Oops: int3" while it boots. Once: what dies so twice is wrong.
    if let Ok(dead) = &outcome
        && !dead.has_begun
    {
        println!(
            "{} {}: its kernel ended before the self-test began, and is booted once more; its console \
             ended in:\n{}",
            job.kernel, job.mechanism, dead.console
        );
        outcome = boot();
    }
    Run {
        kernel: job.kernel,
        mechanism: job.mechanism,
        outcome,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
