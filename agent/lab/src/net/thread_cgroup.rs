//! A cgroup (v2) for one thread, below that of the process: `threaded` in
//! Documentation/admin-guide/cgroup-v2.rst. Sockets that are made elsewhere keep theirs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use crate::Error;

/// A cgroup that is removed with this.
#[derive(Debug)]
pub struct ThreadCgroup(PathBuf);

impl ThreadCgroup {
    /// Makes one; `name` is unique in this process.
    ///
    /// # Errors
    /// Where none can be made, which is no fault of the host's.
    pub fn new(name: &str) -> Result<Self, Error> {
        Self::make(name).map_err(|error| {
            Error::Unsupported(format!("no cgroup for a thread can be made here: {error}"))
        })
    }

    fn make(name: &str) -> io::Result<Self> {
        let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_owned());
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let point = mounts.lines().find_map(|line| {
            let (before, _) = line.split_once(" - cgroup2 ")?;
            before.split(' ').nth(4)
        });
        let point = point.ok_or_else(|| missing("cgroup2 is not mounted"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.ok_or_else(|| missing("the process is in no cgroup of v2"))?;
        let path = Path::new(point)
            .join(own)
            .join(format!("halfopen-{name}-{}", process::id()));
        fs::create_dir(&path)?;
        // Removed if it is not to be had.
        let made = Self(path);
        fs::write(made.0.join("cgroup.type"), "threaded")?;
        Ok(made)
    }

    /// Runs a job in a thread of this cgroup, and waits for its end.
    ///
    /// # Errors
    /// When the kernel does not let a thread in, or as the job has it.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let threads = self.0.join("cgroup.threads");
        let in_it = move || {
            // The thread that writes.
            fs::write(threads, "0")?;
            job()
        };
        thread::scope(|scope| {
            let done = scope.spawn(in_it).join();
            done.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
        })
    }
}

impl Drop for ThreadCgroup {
    fn drop(&mut self) {
        // Its thread has ended, and the kernel may need a moment to notice.
        for _ in 0..100 {
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}
