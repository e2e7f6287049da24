//! Notices that files change: by inotify, and by looking again at times, because no
//! event tells of a file system that is mounted, or of what another machine writes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::warn;

/// The time between two searches for new directories.
const AGAIN: Duration = Duration::from_secs(5);
/// The time within which changes count as one.
const TOGETHER: Duration = Duration::from_millis(20);
/// How deep directories are watched, and how many.
const DEPTH: usize = 6;
const DIRECTORIES: usize = 2000;

/// Ends the watching when it is dropped.
pub(super) struct Watcher(AbortHandle);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Watches everything below a directory. Must be called within a Tokio runtime.
pub(super) fn start(root: &Path) -> (Watcher, watch::Receiver<u64>) {
    let (told, changes) = watch::channel(0);
    let task = tokio::spawn(follow(root.to_owned(), told));
    (Watcher(task.abort_handle()), changes)
}

async fn follow(root: PathBuf, told: watch::Sender<u64>) {
    let events = match Events::new() {
        Ok(events) => Some(events),
        Err(error) => {
            warn!("files are not watched ({error}), but looked at every [store] refresh");
            None
        }
    };
    let mut known = BTreeSet::new();
    loop {
        let place = root.clone();
        let found = tokio::task::spawn_blocking(move || directories(&place)).await;
        let found = found.unwrap_or_default();
        let moved = found != known;
        for (directory, _) in &found {
            if let Some(events) = &events {
                events.add(directory);
            }
        }
        // At first everything is new: what was read before it was watched may have
        // changed in between.
        if moved {
            told.send_modify(|n| *n += 1);
        }
        known = found;
        let heard = async {
            match &events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = heard => {
                tokio::time::sleep(TOGETHER).await;
                told.send_modify(|n| *n += 1);
            }
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// The directory and those below it, each with what tells it from another one of its
/// name.
fn directories(root: &Path) -> BTreeSet<(PathBuf, (u64, u64))> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        let Ok(metadata) = fs::metadata(&directory) else {
            continue;
        };
        if found.len() >= DIRECTORIES || depth > DEPTH {
            continue;
        }
        found.insert((directory.clone(), (metadata.dev(), metadata.ino())));
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries {
            // `..data` and what it leads to are replaced, never changed.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b"..");
            if !hidden && entry.file_type().is_ok_and(|t| t.is_dir()) {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

#[cfg(target_os = "linux")]
use linux::Events;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::sync::Notify;

    /// How often the thread that listens looks whether it is still wanted, in
    /// milliseconds.
    const STILL_WANTED: u16 = 500;

    /// The kernel's events about directories. A thread listens to them, since tokio
    /// waits for such a descriptor only by a call that is unsafe.
    pub(super) struct Events {
        inotify: Arc<Inotify>,
        heard: Arc<Notify>,
        over: Arc<AtomicBool>,
    }

    impl Drop for Events {
        fn drop(&mut self) {
            self.over.store(true, Relaxed);
        }
    }

    impl Events {
        pub fn new() -> io::Result<Self> {
            let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
            let events = Self {
                inotify: Arc::new(Inotify::init(flags).map_err(io::Error::from)?),
                heard: Arc::default(),
                over: Arc::default(),
            };
            let (inotify, heard) = (events.inotify.clone(), events.heard.clone());
            let over = events.over.clone();
            std::thread::Builder::new()
                .name("files".to_owned())
                .spawn(move || listen(&inotify, &heard, &over))?;
            Ok(events)
        }

        /// Watches a directory; one that is watched already stays so. A directory that cannot be
        /// watched is looked at from time to time.
        pub fn add(&self, directory: &Path) {
            let flags = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            let _ = self.inotify.add_watch(directory, flags);
        }

        /// Waits for an event. Events that come together count as one.
        pub async fn next(&self) {
            self.heard.notified().await;
        }
    }

    fn listen(inotify: &Inotify, heard: &Notify, over: &AtomicBool) {
        while !over.load(Relaxed) {
            let mut waiting = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut waiting, PollTimeout::from(STILL_WANTED));
            if ready.is_ok_and(|n| n > 0)
                && inotify.read_events().is_ok_and(|events| !events.is_empty())
            {
                heard.notify_one();
            }
        }
    }
}

/// A stand-in for other systems, which have no inotify.
#[cfg(not(target_os = "linux"))]
struct Events;

#[cfg(not(target_os = "linux"))]
impl Events {
    fn new() -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn add(&self, _: &Path) {}

    async fn next(&self) {
        std::future::pending().await
    }
}
