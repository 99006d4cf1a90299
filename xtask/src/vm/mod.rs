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

/// More would only take turns on two cores.
const SIDE_BY_SIDE: usize = 2;

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
}

/// Boots the chosen kernels with the chosen mechanisms; `done` is told of each run as it ends.
pub fn run_all(binary: &Path, choice: &Choice, done: impl Fn(&Run) + Sync) -> Result<Vec<Run>> {
    apt::ensure(&NEEDS)?;
    let folder = workspace::target().join("vm");
    let busybox = apt::unpack("busybox-static", &folder)?.join("bin/busybox");
    let mut jobs = VecDeque::new();
    let wanted =
        |choice: &Option<String>, name: &str| choice.as_deref().is_none_or(|only| only == name);
    for (name, meta) in KERNELS
        .into_iter()
        .filter(|kernel| wanted(&choice.kernel, kernel.0))
    {
        let kernel = kernel::fetch(meta, &folder)?;
        let initrd = folder.join(format!("initramfs-{name}.cpio"));
        image::write(&initrd, binary, &busybox, &kernel)
            .with_context(|| format!("making the initramfs for kernel {name}"))?;
        for mechanism in MECHANISMS
            .into_iter()
            .filter(|name| wanted(&choice.hooks, name))
        {
            let vmlinuz = kernel.vmlinuz.clone();
            jobs.push_back(Job {
                kernel: name,
                mechanism,
                vmlinuz,
                initrd: initrd.clone(),
            });
        }
    }
    if jobs.is_empty() {
        let kernels = KERNELS.map(|kernel| kernel.0);
        bail!("no such guest: the kernels are {kernels:?}, the mechanisms {MECHANISMS:?}");
    }
    let (jobs, runs) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(job) = lock(&jobs).pop_front() {
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
    let logs = folder
        .join("logs")
        .join(format!("{}-{}", job.kernel, job.mechanism));
    let outcome = fs::create_dir_all(&logs)
        .with_context(|| format!("creating {}", logs.display()))
        .and_then(|()| guest::boot(&job.vmlinuz, &job.initrd, job.mechanism, &logs));
    Run {
        kernel: job.kernel,
        mechanism: job.mechanism,
        outcome,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
