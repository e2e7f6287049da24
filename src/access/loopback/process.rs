//! The process that holds a socket. For audit records only: the search through
//! `/proc` need not find it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::Owner;
use crate::access::account::executable;

/// How many descriptors are looked at before the search ends: a machine with very
/// many must not make its clients wait.
const MOST: usize = 5_000;

/// The process, and its program. `None` where it cannot be found: only root may read
/// other users' processes.
pub(super) fn holding(owner: Owner) -> Option<(i32, Option<Arc<str>>)> {
    let wanted = format!("socket:[{}]", owner.inode);
    let wanted = Path::new(&wanted);
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            (entry.metadata().ok()?.uid() == owner.uid).then_some(pid)
        })
        .collect();
    // The newest first: whoever connects has often just been started.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = MOST;
    for pid in pids {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            left = left.checked_sub(1)?;
            if fs::read_link(descriptor.path()).is_ok_and(|target| target == wanted) {
                return Some((pid, executable(pid)));
            }
        }
    }
    None
}
