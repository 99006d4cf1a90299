//! A cgroup's directory by its id, without looking for it.

#![allow(
    unsafe_code,
    reason = "open_by_handle_at(2) has no safe wrapper for kernfs ids"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// `FILEID_KERNFS` (include/linux/exportfs.h), Linux 5.5+.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` (include/linux/fs.h) as kernfs fills it (kernfs_encode_fh() in
/// fs/kernfs/mount.c): the handle is the node's id.
#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: [u8; 8],
}

/// Opens (O_PATH) the directory of the cgroup with this id, anywhere in the hierarchy that `mount`, a
/// directory of it, is of.
///
/// # Errors
/// As open_by_handle_at(2) has them: ESTALE if there is no such cgroup any more, EPERM without
/// CAP_DAC_READ_SEARCH.
pub fn open_cgroup(mount: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = Handle {
        bytes: 8,
        kind: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `handle` lives through the call, and has as many bytes after its head as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw mut handle,
            flags,
        )
    };
    match libc::c_int::try_from(result) {
        // SAFETY: the kernel has just opened it, for nobody else.
        Ok(file) if file >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}
