//! Unix sockets: bound for their owner and group only, in place of a stale socket.
//!
//! # Invariants
//! Only a stale socket is removed: no other file, and no socket that a process listens on.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::net::sockopt::socket_peercred;
use socket2::{Domain, SockAddr, Socket, Type};

use super::address::SOCKET;
use crate::serve::limits::LISTEN_BACKLOG;

/// Who may connect: the owner and the group of the agent.
const MODE: u32 = 0o660;

/// The mode of the folder made for the socket: searchable for all, since the mode of the socket decides
/// who may connect.
const FOLDER_MODE: u32 = 0o755;

/// Time between attempts to lock a folder in which another agent binds a socket.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Attempts to lock it: for 3 seconds.
const LOCK_ATTEMPTS: u32 = 150;

/// Why a unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens on it.
    #[error(
        "cannot listen on unix:{path}: the socket is in use by {holder}; stop it, or choose another path with --web.listen-address"
    )]
    InUse {
        /// The path of the socket.
        path: String,
        /// Which process, if known.
        holder: String,
    },
    /// The file is not a socket.
    #[error(
        "cannot listen on unix:{path}: this is not a socket, and is left alone; remove it, or choose another path with --web.listen-address"
    )]
    NotASocket {
        /// The path of the file.
        path: String,
    },
    /// Anything else.
    #[error(
        "cannot listen on unix:{path}: {tried} failed: {reason}; choose a path where the agent may make a socket, with --web.listen-address"
    )]
    Other {
        /// The path of the socket.
        path: String,
        /// The step that failed.
        tried: &'static str,
        /// The error of the kernel.
        reason: io::Error,
    },
}

/// The file of a bound socket; removed on drop, unless another file has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: another file can get the same path.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // If this fails, the next agent replaces the stale socket.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens at `path`, replacing a stale socket.
pub fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    bind_pausing(path, || thread::sleep(LOCK_RETRY))
}

/// `pause` is called between attempts to lock the folder.
fn bind_pausing(
    path: &Path,
    pause: impl FnMut(),
) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |tried| {
        move |reason| SocketError::Other {
            path: path.display().to_string(),
            tried,
            reason,
        }
    };
    let address = SockAddr::unix(path).map_err(failed("naming the socket"))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    if path == Path::new(SOCKET) {
        make_folder(folder).map_err(failed("making its folder"))?;
    }
    // Without the lock two agents could both find a socket stale: the second would remove the first's.
    let folder = File::open(folder).map_err(failed("opening its folder"))?;
    lock(&folder, pause).map_err(failed("locking its folder"))?;
    clear(path, &address)?;
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("making a socket"))?;
    socket.bind(&address).map_err(failed("binding it"))?;
    let file = SocketFile {
        identity: identity(path).map_err(failed("looking at it"))?,
        path: path.to_owned(),
    };
    // No client can connect before listen(2), so the mode is never wider than this.
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("setting its mode"))?;
    socket.listen(LISTEN_BACKLOG).map_err(failed("listening"))?;
    socket
        .set_nonblocking(true)
        .map_err(failed("setting it up"))?;
    Ok((socket.into(), file))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        // The umask may have cleared bits.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Locked until closed. Any process may lock the folder, so the wait is limited.
fn lock(folder: &File, mut pause: impl FnMut()) -> io::Result<()> {
    for _ in 0..LOCK_ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => pause(),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Removes a stale socket.
fn clear(path: &Path, address: &SockAddr) -> Result<(), SocketError> {
    let name = path.display().to_string();
    let failed = |tried, reason| SocketError::Other {
        path: name.clone(),
        tried,
        reason,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("looking at it", error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: name });
        }
        Ok(_) => {}
    }
    match holder(address) {
        Ok(Some(holder)) => Err(SocketError::InUse { path: name, holder }),
        Ok(None) => fs::remove_file(path).map_err(|error| failed("replacing a stale one", error)),
        Err(error) => Err(failed("asking whether another process listens", error)),
    }
}

/// Which process listens on a socket; `None` if none does.
fn holder(address: &SockAddr) -> io::Result<Option<String>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => {
            let holder = socket_peercred(socket.as_fd()).map_or_else(
                |_| "another process".to_owned(),
                |peer| format!("process {}", peer.pid.as_raw_nonzero()),
            );
            Ok(Some(holder))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        // The backlog is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some("another process".to_owned()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::{UnixDatagram, UnixStream},
        sync::mpsc,
    };

    use tempfile::TempDir;

    use super::*;

    fn refused(path: &Path) -> String {
        bind(path).unwrap_err().to_string()
    }

    #[test]
    fn a_socket_is_for_owner_and_group_and_is_removed_on_drop() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        let (_listener, file) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        // As left by a killed agent.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = bind(&path).unwrap();
        let said = refused(&path);
        let holder = format!("in use by process {}", std::process::id());
        assert!(said.contains(&holder), "{said}");
        UnixStream::connect(&path).unwrap();
        // A full backlog does not make a socket stale.
        drop(listener);
        drop(file);
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(refused(&path).contains("in use by another process"));
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(refused(&path).contains("this is not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // A link to a stale socket is not a socket.
        let target = folder.path().join("target.sock");
        drop(UnixListener::bind(&target).unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(refused(&link).contains("this is not a socket"));
        let datagrams = folder.path().join("datagrams");
        let _alive = UnixDatagram::bind(&datagrams).unwrap();
        assert!(refused(&datagrams).contains("asking whether another process listens"));
        assert!(datagrams.exists());
    }

    #[test]
    fn a_file_that_replaced_the_socket_is_not_removed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        let (_listener, file) = bind(&path).unwrap();
        // Kept under another name, so that the next file gets another inode number.
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn paths_that_cannot_be() {
        let folder = TempDir::new().unwrap();
        let absent = folder.path().join("absent/own.sock");
        assert!(refused(&absent).contains("opening its folder failed"));
        let long = folder.path().join("x".repeat(120));
        assert!(refused(&long).contains("naming the socket failed"));
    }

    #[test]
    fn nothing_is_removed_while_another_makes_its_socket() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        drop(UnixListener::bind(&path).unwrap());
        let stale = identity(&path).unwrap();
        let other = File::open(folder.path()).unwrap();
        other.lock().unwrap();
        let (paused, pauses) = mpsc::channel();
        thread::scope(|scope| {
            let pause = move || {
                paused.send(()).unwrap();
                thread::sleep(LOCK_RETRY);
            };
            let bound = scope.spawn(|| bind_pausing(&path, pause));
            pauses.recv().unwrap();
            assert_eq!(identity(&path).unwrap(), stale);
            assert!(!bound.is_finished());
            drop(other);
            bound.join().unwrap().unwrap();
        });
    }

    #[test]
    fn the_wait_for_a_locked_folder_is_limited() {
        let folder = TempDir::new().unwrap();
        let other = File::open(folder.path()).unwrap();
        other.lock().unwrap();
        let mut pauses = 0;
        let said = bind_pausing(&folder.path().join("own.sock"), || pauses += 1)
            .unwrap_err()
            .to_string();
        assert!(said.contains("locking its folder failed"), "{said}");
        assert_eq!(LOCK_RETRY * pauses, Duration::from_secs(3));
    }

    #[test]
    fn of_concurrent_binds_one_succeeds() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        for _ in 0..20 {
            drop(UnixListener::bind(&path).unwrap());
            let bound: Vec<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(|| bind(&path))).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let won = bound.iter().filter(|result| result.is_ok()).count();
            assert_eq!(won, 1, "{bound:?}");
            UnixStream::connect(&path).unwrap();
        }
    }
}
