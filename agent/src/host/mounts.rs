//! What is mounted where, from /proc/self/mountinfo, and whether that has changed.

use std::{ffi::OsString, fs::File, io, os::unix::ffi::OsStringExt, path::PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where the kernel tells.
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// One mount, as seen by the process that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, which no other mount has as long as it is used.
    pub id: u64,
    /// What of the file system is mounted: `/`, or a part of it. Of cgroups it is told from where the
    /// process itself is: `/../..` is two above that (cgroup_show_path() in kernel/cgroup/cgroup.c).
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Type of the file system, such as `cgroup2`.
    pub kind: String,
}

impl Mount {
    /// From a line (man 5 proc_pid_mountinfo): id, parent, device, root, mount point, options, any
    /// number of optional fields, a hyphen, type, source, options. `None` if it is none.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let mut fields = fields.skip(2);
        let (root, point) = (fields.next()?, fields.next()?);
        // Options cannot be a hyphen alone.
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Self {
            id,
            root: unescaped(root),
            point: unescaped(point),
            kind: String::from_utf8_lossy(kind).into_owned(),
        })
    }
}

/// All mounts of the text of mountinfo, in the order in which they were made.
pub fn all(mountinfo: &[u8]) -> impl Iterator<Item = Mount> {
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(Mount::parse)
}

/// Notices changes of what is mounted in the mount namespace in which it was opened.
#[derive(Debug)]
pub struct Watch(File);

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn open() -> io::Result<Self> {
        File::open(MOUNTINFO).map(Self)
    }

    /// Whether anything was mounted or unmounted since this was last asked (`mounts_poll()` in
    /// fs/proc_namespace.c); one system call, whatever is mounted. Where the kernel does not tell, something may
    /// have been.
    pub fn has_changed(&self) -> bool {
        let changed = PollFlags::PRI | PollFlags::ERR;
        let mut asked = [PollFd::new(&self.0, PollFlags::PRI)];
        match poll(&mut asked, Some(&Timespec::default())) {
            Ok(_) => asked[0].revents().intersects(changed),
            Err(_) => true,
        }
    }
}

/// Blanks and backslashes are written as `\ooo` (mangle_path() in fs/seq_file.c).
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| octal(after)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[3..]
        } else {
            after
        };
    }
    OsString::from_vec(bytes).into()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let check = |line: &str, expected: Option<[&str; 3]>| {
            let parsed = Mount::parse(line.as_bytes());
            let id = parsed.as_ref().map_or(0, |parsed| parsed.id);
            let expected = expected.map(|[root, point, kind]| Mount {
                id,
                root: root.into(),
                point: point.into(),
                kind: kind.into(),
            });
            assert_eq!(parsed, expected, "{line}");
        };
        check(
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
            Some(["/", "/sys/fs/cgroup/unified", "cgroup2"]),
        );
        check(
            "41 31 0:38 /a\\040b /mnt/c\\011d\\134040 rw shared:9 master:3 - cgroup2 none rw,nsdelegate",
            Some(["/a b", "/mnt/c\td\\040", "cgroup2"]),
        );
        check(
            "41 31 0:38 / /a\\04 rw - ext4 x rw",
            Some(["/", "/a\\04", "ext4"]),
        );
        check(
            "41 31 0:38 / /a\\999 rw - ext4 x rw",
            Some(["/", "/a\\999", "ext4"]),
        );
        check("41 31 0:38 / /a rw shared:9", None);
        check("41 31 0:38 / ", None);
        check("", None);
        check("x 31 0:38 / /a rw - ext4 x rw", None);
        let odd = Mount::parse(b"1 1 0:1 / /\xff\\777 rw - x y z").unwrap();
        assert_eq!(odd.id, 1);
        assert_eq!(odd.point.as_os_str().as_encoded_bytes(), b"/\xff\\777");
    }
}
