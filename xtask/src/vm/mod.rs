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
use guest::Play;

/// The kernels: a name for people, and the package that stands for the newest of that line.
const KERNELS: [(&str, &str); 2] = [
    ("6.1", "linux-image-cloud-amd64"),
    ("6.12", "linux-image-6.12-cloud-amd64"),
];

const MECHANISMS: [&str; 4] = ["fentry", "kprobe", "tracepoint", guest::WAKEUP];

/// Where a storm passes when nothing is chosen: where every event must be seen.
const STORMS: [(&str, &str); 2] = [("6.1", "kprobe"), ("6.12", "fentry")];

/// Where living connections are played when nothing is chosen: on each kernel, by its fastest mechanism.
const LIVING: [(&str, &str); 2] = [("6.1", "fentry"), ("6.12", "fentry")];

/// Guests at a time. Scenarios and the living have times to keep, and a guest has two processors, as we have; a
/// storm takes the time that it takes.
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
    /// A storm of this many connections instead of the scenarios.
    #[arg(long, value_name = "N")]
    storm: Option<u32>,
    /// Connections that live on for this many seconds instead.
    #[arg(long, value_name = "SECONDS", conflicts_with = "storm")]
    living: Option<u32>,
}

impl Choice {
    /// A storm where the storms pass.
    pub fn storm(connections: u32) -> Self {
        Self {
            storm: Some(connections),
            ..Self::default()
        }
    }

    /// Connections that live on, on each kernel.
    pub fn living(seconds: u32) -> Self {
        Self {
            living: Some(seconds),
            ..Self::default()
        }
    }

    /// What is played, in words.
    pub const fn title(&self) -> &'static str {
        match self.play() {
            Play::Scenarios => "every scenario",
            Play::Storm(_) => "a storm",
            Play::Living(_) => "the living minute",
        }
    }

    const fn play(&self) -> Play {
        match (self.storm, self.living) {
            (Some(connections), _) => Play::Storm(connections),
            (None, Some(seconds)) => Play::Living(seconds),
            (None, None) => Play::Scenarios,
        }
    }

    fn is_wanted(&self, kernel: &str, mechanism: &str) -> bool {
        let few = match self.play() {
            Play::Scenarios => None,
            Play::Storm(_) => Some(STORMS),
            Play::Living(_) => Some(LIVING),
        };
        if let Some(few) = few
            && self.kernel.is_none()
            && self.hooks.is_none()
        {
            return few.contains(&(kernel, mechanism));
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
    play: Play,
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
                play: choice.play(),
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
        let guests = match choice.play() {
            Play::Storm(_) => STORM_GUESTS,
            Play::Scenarios | Play::Living(_) => SCENARIO_GUESTS,
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
    let what = match job.play {
        Play::Scenarios => "",
        Play::Storm(_) => "-storm",
        Play::Living(_) => "-living",
    };
    let logs = folder
        .join("logs")
        .join(format!("{}-{}{what}", job.kernel, job.mechanism));
    let boot = || guest::boot(&job.vmlinuz, &job.initrd, job.mechanism, job.play, &logs);
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
