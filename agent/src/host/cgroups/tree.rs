//! The tree of cgroups, for those who may not open one by its id.
//!
//! # Invariants
//! The walk over the tree ends, however fast cgroups are made.

use std::{
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Cgroups that are looked at in one walk: many times what a node full of containers has.
const MOST: usize = 262_144;

/// Shows each cgroup below `root`, parents first, by its id and the path of its directory. What
/// cannot be read, or goes away meanwhile, is passed over, and so is what is mounted there from
/// elsewhere, whose numbers are no ids.
pub fn walk(root: &Path, mut found: impl FnMut(u64, &Path)) {
    let device = |directory: &Path| fs::metadata(directory).map(|data| data.dev()).ok();
    let own = device(root);
    let mut ahead: Vec<PathBuf> = vec![root.to_owned()];
    let mut seen = 0;
    while let Some(directory) = ahead.pop() {
        if device(&directory) != own {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // Of kernfs, readdir(3) tells the type and the whole id (kernfs_fop_readdir() in
            // fs/kernfs/dir.c): no file has to be asked.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            seen += 1;
            if seen > MOST {
                return;
            }
            let path = entry.path();
            found(entry.ino(), &path);
            ahead.push(path);
        }
    }
}
