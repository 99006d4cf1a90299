//! A program in a private root: in a host's network, with its own processes, mounts and memory.
//!
//! # Invariants
//!
//! The root is not written to. However the jail ends, no process and no mount stays behind.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{Gid, Uid, chdir, chroot, setgid, setgroups, setuid},
};

use halfopen_lab::{Error, Host};

use crate::{error::ProgramError, program::Program};

/// How many of a program's last lines are shown when it fails.
const LAST_LINES: usize = 5;

/// What programs open of /dev.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Where Debian puts programs; the last is the one of initdb and postgres.
const PATH: &str = "/usr/sbin:/usr/bin:/usr/lib/postgresql/15/bin";

/// A running program; dropped, it is killed with all its processes, as it is when the thread that
/// holds it ends with the test.
#[derive(Debug)]
pub(crate) struct ProgramJail {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    end: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl ProgramJail {
    /// Starts a program in the network of this host.
    pub(crate) fn start(program: &Program, root: &Path, host: &Host) -> Result<Self, Error> {
        let (ready, started) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let jail_root = JailRoot {
            root: root.canonicalize().map_err(|source| Error::System {
                tried: format!("find the programs' root {}", root.display()),
                source,
                help: "let `cargo xtask test` make it",
            })?,
            network: host.path().to_owned(),
        };
        let program = *program;
        // A thread of its own: it leaves this process's namespaces, and cannot come back.
        let keeper = thread::Builder::new()
            .name(program.name.to_owned())
            .spawn(move || keep(&jail_root.start(&program), &ready, &ended))
            .map_err(|source| {
                Error::needs_root(format!("start a thread for {}", program.name), source)
            })?;
        let gone = || Error::HostGone(format!("of {}", program.name));
        let mut child = started.recv().map_err(|_| gone())??;
        let said = Arc::<Mutex<Vec<String>>>::default();
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            });
        }
        Ok(Self {
            name: program.name,
            child,
            said,
            end: Some(end),
            keeper: Some(keeper),
        })
    }

    /// Fails with the program's last lines when it has ended.
    pub(crate) fn alive(&mut self) -> Result<(), ProgramError> {
        let status = self
            .child
            .try_wait()
            .map_err(|source| Error::needs_root(format!("wait for {}", self.name), source))?;
        let Some(status) = status else {
            return Ok(());
        };
        // The reader of its lines may be behind by a moment.
        thread::sleep(Duration::from_millis(200));
        Err(ProgramError::Ended {
            program: self.name,
            status: status.to_string(),
            said: self.last_lines(),
        })
    }

    /// Its last lines.
    pub(crate) fn last_lines(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said[said.len().saturating_sub(LAST_LINES)..].join(" / ")
    }
}

impl Drop for ProgramJail {
    fn drop(&mut self) {
        // It is the first of its process namespace: with it go all others.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.end.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Hands over what was started, and lives as long as it: the program dies with this thread.
fn keep(
    child: &dyn Fn() -> Result<Child, Error>,
    ready: &Sender<Result<Child, Error>>,
    end: &Receiver<()>,
) {
    let child = child();
    if ready.send(child).is_ok() {
        // Nothing is sent: the sender is dropped.
        let _ = end.recv();
    }
}

/// Where a program runs.
struct JailRoot {
    root: PathBuf,
    network: PathBuf,
}

impl JailRoot {
    fn start(self, program: &Program) -> impl Fn() -> Result<Child, Error> + use<> {
        let program = *program;
        move || {
            let (user, group) = self.user(program.user)?;
            self.enter()?;
            self.furnish()?;
            for (name, text) in program.files {
                let path = self.root.join("run").join(name);
                path.parent().map_or(Ok(()), folder)?;
                write(&path, &program.filled(text))?;
            }
            self.spawn(&program, user, group)
        }
    }

    /// Leaves the caller's namespaces for the host's network and for new ones.
    fn enter(&self) -> Result<(), Error> {
        let network = File::open(&self.network)
            .map_err(|e| Error::needs_root(format!("open {}", self.network.display()), e))?;
        setns(&network, CloneFlags::CLONE_NEWNET)
            .map_err(|e| Error::needs_root("enter a network namespace", e))?;
        let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
        unshare(own).map_err(|e| Error::needs_root("make namespaces for a program", e))
    }

    /// Mounts what programs write to, and what they read of the kernel. All is gone with the thread
    /// and its program.
    fn furnish(&self) -> Result<(), Error> {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        attach(None, Path::new("/"), None, private, None)?;
        let root = self.root.as_path();
        attach(Some(root), root, None, MsFlags::MS_BIND, None)?;
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        attach(None, root, None, read_only, None)?;
        let proc = Path::new("/proc");
        attach(Some(proc), &root.join("proc"), None, MsFlags::MS_BIND, None)?;
        for (name, mode) in [("dev", "755"), ("run", "1777"), ("tmp", "1777")] {
            let options = format!("mode={mode}");
            let to = root.join(name);
            attach(None, &to, Some("tmpfs"), MsFlags::empty(), Some(&options))?;
        }
        let memory = root.join("dev/shm");
        folder(&memory)?;
        attach(
            None,
            &memory,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=1777"),
        )?;
        for name in DEVICES {
            let to = root.join("dev").join(name);
            write(&to, "")?;
            let device = Path::new("/dev").join(name);
            attach(Some(&device), &to, None, MsFlags::MS_BIND, None)?;
        }
        Ok(())
    }

    fn spawn(&self, program: &Program, user: Uid, group: Gid) -> Result<Child, Error> {
        let script = format!("exec >&2; {}", program.filled(program.script));
        let root = self.root.clone();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script])
            .env_clear()
            .envs([("PATH", PATH), ("HOME", "/run"), ("LC_ALL", "C")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let imprison = move || -> io::Result<()> {
            chroot(&root)?;
            chdir("/run")?;
            setgroups(&[])?;
            setgid(group)?;
            setuid(user)?;
            // After the change of user, which would forget it.
            Ok(set_pdeathsig(Signal::SIGKILL)?)
        };
        // SAFETY: between fork and exec these are system calls on the new process alone; the root's
        // path is short enough not to be put on the heap.
        unsafe { command.pre_exec(imprison) };
        command.spawn().map_err(|source| Error::System {
            tried: format!("start {} in {}", program.name, self.root.display()),
            source,
            help: "remove that folder and let `cargo xtask test` make it again",
        })
    }

    /// A user of the private root.
    fn user(&self, name: &str) -> Result<(Uid, Gid), Error> {
        let path = self.root.join("etc/passwd");
        let text = fs::read_to_string(&path)
            .map_err(|e| Error::needs_root(format!("read {}", path.display()), e))?;
        let ids = text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id = |index: usize| fields.get(index)?.parse().ok();
            (fields.first() == Some(&name)).then_some(())?;
            Some((Uid::from_raw(id(2)?), Gid::from_raw(id(3)?)))
        });
        ids.ok_or_else(|| Error::Format {
            what: path.display().to_string(),
            why: format!("it has no user {name}"),
        })
    }
}

fn attach(
    from: Option<&Path>,
    to: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), Error> {
    mount(from, to, kind, flags, options)
        .map_err(|e| Error::needs_root(format!("mount {} ({flags:?})", to.display()), e))
}

/// A folder that others may read, whatever our umask says; one that is there is left as it is.
fn folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(|e| Error::needs_root(format!("make {}", path.display()), e))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|e| Error::needs_root(format!("write {}", path.display()), e))
}
