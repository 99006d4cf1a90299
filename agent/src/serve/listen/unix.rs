//! Unix sockets: made where nobody listens any more, for their owner and group alone.
//! It must never remove what is not a socket, nor one at which somebody answers.

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
    time::{Duration, Instant},
};

use rustix::net::sockopt::socket_peercred;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{BACKLOG, SOCKET};

/// Who may connect: the owner and the group of the agent.
const MODE: u32 = 0o660;

/// Of the folder that is made for the socket: all may look in, since the socket's own mode says who
/// may connect, and its group could not reach it through a closed folder.
const FOLDER_MODE: u32 = 0o755;

/// For how long another agent may take to make its socket in the same folder.
const LOCKED_FOR: Duration = Duration::from_secs(3);

/// Why a unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error(
        "cannot listen on unix:{path}: the socket is in use by {holder}; stop it, or choose another path with --web.listen-address"
    )]
    InUse {
        /// The path of the socket.
        path: String,
        /// Which process, where the kernel tells.
        holder: String,
    },
    /// Something else has this name.
    #[error(
        "cannot listen on unix:{path}: this is no socket, and is left alone; remove it, or choose another path with --web.listen-address"
    )]
    NoSocket {
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
        /// What was tried.
        tried: &'static str,
        /// What the kernel said.
        reason: io::Error,
    },
}

/// The file of a socket of ours; dropped, it is removed, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: names can be given to other files.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // What cannot be removed now is stale, and the next agent replaces it.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens at `path`, in place of a socket at which nobody answers any more.
pub fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
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
    // Two agents must not both take the same socket for stale: the second would remove the first's.
    let folder = File::open(folder).map_err(failed("opening its folder"))?;
    lock(&folder).map_err(failed("locking its folder"))?;
    clear(path, &address)?;
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("making a socket"))?;
    socket.bind(&address).map_err(failed("binding it"))?;
    let file = SocketFile {
        identity: identity(path).map_err(failed("looking at it"))?,
        path: path.to_owned(),
    };
    // Nobody can connect before the socket listens, so the mode is never wider than this.
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("setting its mode"))?;
    socket.listen(BACKLOG).map_err(failed("listening"))?;
    socket
        .set_nonblocking(true)
        .map_err(failed("setting it up"))?;
    Ok((socket.into(), file))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        // The umask may have taken rights away.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Locked until it is closed. Others may lock it too, so nobody is waited for without a limit.
fn lock(folder: &File) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if began.elapsed() > LOCKED_FOR => {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
    }
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
            return Err(SocketError::NoSocket { path: name });
        }
        Ok(_) => {}
    }
    match answers(address) {
        Ok(Some(holder)) => Err(SocketError::InUse { path: name, holder }),
        Ok(None) => fs::remove_file(path).map_err(|error| failed("replacing a stale one", error)),
        Err(error) => Err(failed("asking whether another process listens", error)),
    }
}

/// Who listens at a socket; `None` where nobody does.
fn answers(address: &SockAddr) -> io::Result<Option<String>> {
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
        // So many wait to be accepted that there is no room for one more.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some("another process".to_owned()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use tempfile::TempDir;

    use super::*;

    fn refused(path: &Path) -> String {
        bind(path).unwrap_err().to_string()
    }

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_with_its_agent() {
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
        // As a killed agent leaves it.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = bind(&path).unwrap();
        let said = refused(&path);
        let holder = format!("in use by process {}", std::process::id());
        assert!(said.contains(&holder), "{said}");
        UnixStream::connect(&path).unwrap();
        // One that is busy is alive too.
        drop(listener);
        drop(file);
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(refused(&path).contains("in use by another process"));
    }

    #[test]
    fn what_is_no_socket_of_this_kind_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(refused(&path).contains("this is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // A link to a stale socket is no socket either.
        let target = folder.path().join("target.sock");
        drop(UnixListener::bind(&target).unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(refused(&link).contains("this is no socket"));
        let datagrams = folder.path().join("datagrams");
        let _alive = UnixDatagram::bind(&datagrams).unwrap();
        assert!(refused(&datagrams).contains("asking whether another process listens"));
        assert!(datagrams.exists());
    }

    #[test]
    fn what_another_has_put_there_is_not_removed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("own.sock");
        let (_listener, file) = bind(&path).unwrap();
        // Kept under another name, so that the inode's number is not given to the next file.
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
        thread::scope(|scope| {
            let bound = scope.spawn(|| bind(&path));
            thread::sleep(Duration::from_millis(200));
            assert_eq!(identity(&path).unwrap(), stale);
            assert!(!bound.is_finished());
            drop(other);
            bound.join().unwrap().unwrap();
        });
    }

    #[test]
    fn one_who_keeps_the_folder_locked_is_not_waited_for() {
        let folder = TempDir::new().unwrap();
        let other = File::open(folder.path()).unwrap();
        other.lock().unwrap();
        let said = refused(&folder.path().join("own.sock"));
        assert!(said.contains("locking its folder failed"), "{said}");
    }

    #[test]
    fn of_many_at_once_one_wins() {
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
