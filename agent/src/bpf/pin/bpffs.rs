//! Whether a directory is on a BPF file system.

use std::path::Path;

use rustix::fs::statfs;

use super::error::PinError as Error;

/// BPF_FS_MAGIC (include/uapi/linux/magic.h).
const MAGIC: i64 = 0xcafe_4a11;

/// Refuses a directory that is not, or would not be made, on a BPF file system.
///
/// # Errors
/// Then, or when that cannot be found out.
pub fn check(directory: &Path) -> Result<(), Error> {
    let parent = directory.parent().filter(|_| !directory.exists());
    let place = parent.unwrap_or(directory);
    match statfs(place) {
        Ok(found) if found.f_type == MAGIC => Ok(()),
        Ok(_) => Err(Error::NotBpffs {
            directory: directory.into(),
        }),
        Err(error) => Err(Error::io("look at", place)(error.into())),
    }
}
