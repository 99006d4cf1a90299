//! Whether a directory is on a BPF file system.
//! It must never mount one: where, and for whom, is for others to decide.

use std::{ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStrExt as _, path::Path};

use super::refused::PinError as Error;

/// BPF_FS_MAGIC (include/uapi/linux/magic.h).
const MAGIC: i64 = 0xcafe_4a11;

/// Refuses a directory that is not, or would not be made, on a BPF file system.
///
/// # Errors
/// Then, or when that cannot be found out.
pub fn check(directory: &Path) -> Result<(), Error> {
    let parent = directory.parent().filter(|_| !directory.exists());
    let place = parent.unwrap_or(directory);
    match kind(place) {
        Ok(MAGIC) => Ok(()),
        Ok(_) => Err(Error::NotBpffs {
            directory: directory.into(),
        }),
        Err(error) => Err(Error::io("look at", place)(error)),
    }
}

/// The kind of the file system that something is on (statfs(2)).
fn kind(path: &Path) -> io::Result<i64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a string that ends with a zero, and room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was filled in.
    Ok(unsafe { found.assume_init() }.f_type)
}
