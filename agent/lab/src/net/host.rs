//! A host of the lab: a network namespace and the thread that works in it.

use std::{
    fs::{self, File},
    io::Write,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    unistd::gettid,
};

use crate::{
    Error,
    observe::{capture::Capture, snmp::Counters},
};

/// Where namespaces are mounted: no user but root can put anything in the way there.
const MOUNTS: &str = "/run";
const PREFIX: &str = "halfopen-lab-";

type NamespaceJob = Box<dyn FnOnce() + Send>;

/// What keeps a host's namespace alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetnsLifetime {
    /// A thread that never leaves it.
    Thread,
    /// A bind mount, as `ip netns add` makes one: no thread is in it between two jobs.
    Mount,
}

/// A network namespace with a thread at its service.
#[derive(Debug)]
pub struct Host {
    name: String,
    path: PathBuf,
    mounted: Option<PathBuf>,
    jobs: Option<Sender<NamespaceJob>>,
    thread: Option<JoinHandle<()>>,
    capture: Option<Capture>,
}

impl Host {
    /// Makes a namespace. `name` is unique in this process.
    ///
    /// # Errors
    /// Without the right to make one.
    pub fn new(name: &str, held: NetnsLifetime) -> Result<Self, Error> {
        let mounted = match held {
            NetnsLifetime::Thread => None,
            NetnsLifetime::Mount => Some(mount_point(name)?),
        };
        let (jobs, inbox) = mpsc::channel::<NamespaceJob>();
        let (ready, made) = mpsc::channel();
        let target = mounted.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Nobody waits for the result any more.
                let Ok((path, visit)) = settle(target).map_err(|error| ready.send(Err(error)))
                else {
                    return;
                };
                if ready.send(Ok(path)).is_err() {
                    return;
                }
                for job in inbox {
                    match &visit {
                        None => job(),
                        Some(visit) => visit.run(job),
                    }
                }
            })
            .map_err(|source| {
                Error::needs_root(format!("start a thread for namespace {name}"), source)
            })?;
        let mut host = Self {
            name: name.to_owned(),
            path: PathBuf::new(),
            mounted,
            jobs: Some(jobs),
            thread: Some(thread),
            capture: None,
        };
        host.path = made
            .recv()
            .map_err(|_| Error::HostGone(name.to_owned()))??;
        Ok(host)
    }

    /// Its name in this process.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace as a file, for `ip … netns`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The namespace's inode number, by which the world outside names it.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn inum(&self) -> Result<u64, Error> {
        fs::metadata(&self.path)
            .map(|namespace| namespace.ino())
            .map_err(|source| {
                Error::needs_root(format!("look at namespace {}", self.path.display()), source)
            })
    }

    /// Runs a job in the namespace and waits for its end. A socket made there stays there.
    ///
    /// # Errors
    /// When the thread is gone.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Error::HostGone(self.name.clone());
        let (sender, result) = mpsc::channel();
        let job = move || drop(sender.send(job()));
        self.jobs
            .as_ref()
            .ok_or_else(gone)?
            .send(Box::new(job))
            .map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }

    /// Captures from now on what passes the cable of the host with this address.
    ///
    /// # Errors
    /// Without the right to packet sockets.
    pub(crate) fn capture(&mut self, own: IpAddr) -> Result<(), Error> {
        self.capture = Some(self.run(move || Capture::here(own))??);
        Ok(())
    }

    /// Reads the namespace's own counters, and what was captured.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn counters(&self) -> Result<Counters, Error> {
        let mut counters = self.run(Counters::here)??;
        if let Some(capture) = &self.capture {
            counters.extend(capture.counts()?);
        }
        Ok(counters)
    }

    /// Sets a sysctl of the namespace, by its path below /proc/sys/net.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sysctl(&self, name: &'static str, value: &'static str) -> Result<(), Error> {
        self.run(move || {
            fs::write(format!("/proc/sys/net/{name}"), value).map_err(|source| {
                Error::needs_root(
                    format!("set {name} to {value} in a private namespace"),
                    source,
                )
            })
        })?
    }

    /// Whether the kernel has a sysctl of namespaces, by its path below /proc/sys/net.
    #[must_use]
    pub fn has_sysctl(name: &str) -> bool {
        Path::new("/proc/sys/net").join(name).exists()
    }

    /// Runs `ip` with these commands.
    ///
    /// # Errors
    /// When it refuses, or is not there.
    pub fn ip(&self, commands: &str) -> Result<(), Error> {
        self.command("ip", &["-batch", "-"], commands)
    }

    /// Runs `nft` with these commands.
    ///
    /// # Errors
    /// When it refuses, or is not there.
    pub fn nft(&self, commands: &str) -> Result<(), Error> {
        self.command("nft", &["-f", "-"], commands)
    }

    fn command(
        &self,
        program: &'static str,
        args: &'static [&str],
        input: &str,
    ) -> Result<(), Error> {
        let input = input.to_owned();
        self.run(move || feed(program, args, &input))?
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already, as a job without result.
            let _ = thread.join();
        }
        if let Some(path) = self.mounted.take() {
            unmount(&path);
        }
    }
}

/// Makes the thread's namespace; with a mount point, leaves it again.
fn settle(target: Option<PathBuf>) -> Result<(PathBuf, Option<NamespaceEntry>), Error> {
    let own = PathBuf::from(format!("/proc/{}/task/{}/ns/net", process::id(), gettid()));
    let failed = |tried: &str, source: nix::Error| Error::needs_root(tried, source);
    let home = open(&own)?;
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|source| failed("make a network namespace", source))?;
    let Some(target) = target else {
        return Ok((own, None));
    };
    mount(
        Some(&own),
        &target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(|source| failed("mount a network namespace", source))?;
    let there = open(&target)?;
    setns(&home, CloneFlags::CLONE_NEWNET)
        .map_err(|source| failed("return to the first network namespace", source))?;
    Ok((target, Some(NamespaceEntry { home, there })))
}

/// The way into a namespace and back.
struct NamespaceEntry {
    home: File,
    there: File,
}

impl NamespaceEntry {
    fn run(&self, job: NamespaceJob) {
        // A job that would run elsewhere is dropped instead: its caller finds the host gone.
        if setns(&self.there, CloneFlags::CLONE_NEWNET).is_ok() {
            job();
            let _ = setns(&self.home, CloneFlags::CLONE_NEWNET);
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path)
        .map_err(|source| Error::needs_root(format!("open namespace {}", path.display()), source))
}

fn mount_point(name: &str) -> Result<PathBuf, Error> {
    let path = Path::new(MOUNTS).join(format!("{PREFIX}{name}"));
    File::create_new(&path)
        .map_err(|source| Error::needs_root(format!("create {}", path.display()), source))?;
    Ok(path)
}

/// Removes every mount point of a lab.
pub(crate) fn sweep() {
    for entry in fs::read_dir(MOUNTS).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            unmount(&entry.path());
        }
    }
}

fn unmount(path: &Path) {
    // Either may have been done already, or never have been begun.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

fn feed(program: &str, args: &[&str], input: &str) -> Result<(), Error> {
    let failed = |source| Error::System {
        tried: format!("run `{program}`"),
        source,
        help: "install iproute2 and nftables",
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: format!("{program} {}", args.join(" ")),
        said: String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', " / "),
        input: input.trim().replace('\n', " / "),
    })
}
