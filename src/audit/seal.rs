//! Signs the tree from time to time, and keeps what is signed beside the log.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use parking_lot::{Condvar, Mutex};

use super::Record;
use super::checkpoint::Checkpoint;
use super::counts::Counts;
use super::desk::Desk;
use super::files;
use super::line::Chain;
use super::log::{AuditError, display};
use super::note::Signer;
use super::options::{Options, Segments};
use super::segment;
use super::standing::edge_text;

/// So many records are signed without waiting for the time.
const RECORDS: u64 = 4096;

/// How often an idle log is signed, to show that nothing happened.
const IDLE: Duration = Duration::from_secs(3600);

/// How often at least it is looked whether so many records are there.
const LOOK: Duration = Duration::from_secs(1);

/// A tree that was signed.
pub(super) struct Sealed {
    pub(super) chain: Chain,
    /// The file with its last records, which have to be on the disk before others rely on it.
    pub(super) file: Option<File>,
}

/// The key, and the newest checkpoint beside the log.
pub(super) struct Seals {
    signer: Signer,
    /// The log, if anything is beside it.
    log: Option<PathBuf>,
    /// The size of the newest checkpoint beside the log.
    noted: AtomicU64,
    keeping: Mutex<()>,
}

impl Seals {
    pub(super) fn new(signer: Signer, log: Option<PathBuf>, noted: u64) -> Self {
        Self {
            signer,
            log,
            noted: AtomicU64::new(noted),
            keeping: Mutex::new(()),
        }
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(super) fn noted(&self) -> u64 {
        self.noted.load(Ordering::Acquire)
    }

    /// Another process may have signed since.
    pub(super) fn stands_at(&self, noted: u64) {
        self.noted.store(noted, Ordering::Release);
    }

    /// Makes a checkpoint the newest one beside the log, unless there is a newer one. `false`: it
    /// could not be written.
    pub(super) fn keep(&self, sealed: &Sealed, counts: &Counts) -> bool {
        let Some(log) = &self.log else { return true };
        let _keeping = self.keeping.lock();
        if sealed.chain.seq() <= self.noted() {
            return true;
        }
        let written = self.write(log, sealed);
        if let Err(error) = &written {
            counts.warn(&AuditError::Write {
                path: display(&files::checkpoint(log)),
                error: error.to_string(),
            });
        }
        written.is_ok()
    }

    fn write(&self, log: &Path, sealed: &Sealed) -> io::Result<()> {
        if let Some(file) = &sealed.file {
            file.sync_data()?;
        }
        let note = Checkpoint::from(sealed.chain.tree()).note(&self.signer);
        files::replace(&files::edge(log), edge_text(&sealed.chain).as_bytes())?;
        files::replace(&files::checkpoint(log), note.as_bytes())?;
        self.noted.store(sealed.chain.seq(), Ordering::Release);
        Ok(())
    }
}

/// Ends the thread that signs.
#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    woken: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.woken.notify_all();
    }

    /// Waits so long; `true`: the log is closed.
    fn wait(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.woken.wait_for(&mut stopped, time);
        }
        *stopped
    }
}

/// What the thread does that looks after the log, until that is closed: it signs, and it closes,
/// compresses and removes files.
pub(super) fn run(desk: &Desk, seals: &Seals, counts: &Counts, options: &Options) {
    let every = options.checkpoint;
    let mut last = Instant::now();
    let mut removed: Option<Instant> = None;
    // A process that was killed may have left one that is not compressed.
    let mut closed = true;
    loop {
        let new = desk.unsealed();
        let idle = last.elapsed() >= IDLE;
        if (new > 0 && last.elapsed() >= every) || new >= RECORDS || idle {
            if let Some(sealed) = desk.seal(idle) {
                seals.keep(&sealed, counts);
            }
            last = Instant::now();
        }
        closed |= desk.close_full(&options.segments);
        if let Some(log) = &seals.log {
            if std::mem::take(&mut closed) {
                tell(log, "compressed", segment::compress_closed(log));
            }
            if removed.is_none_or(|at| at.elapsed() >= IDLE) {
                removed = Some(Instant::now());
                tell(
                    log,
                    "removed",
                    remove(desk, seals, counts, &options.segments),
                );
            }
        }
        if desk.stop().wait(every.min(LOOK)) {
            return;
        }
    }
}

/// Removes what is old enough; that is recorded first.
fn remove(desk: &Desk, seals: &Seals, counts: &Counts, limits: &Segments) -> io::Result<()> {
    let Some(log) = &seals.log else { return Ok(()) };
    let old = segment::old(log, limits, desk.opener.taken(), Utc::now())?;
    let (Some(first), Some(last)) = (old.first(), old.last()) else {
        return Ok(());
    };
    let reason = format!("records {} to {} are old enough", first.first, last.last);
    if !desk.tell(Record::segment_remove(&reason, last.last)) {
        return Ok(());
    }
    // Only a record that is signed excuses what is missing.
    if let Some(sealed) = desk.seal(true) {
        if !seals.keep(&sealed, counts) {
            return Ok(()); // another time
        }
        old.iter()
            .try_for_each(|old| std::fs::remove_file(&old.path))?;
    }
    Ok(())
}

fn tell(log: &Path, what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(log = %log.display(), %error, "a closed file of the audit log was not {what}");
    }
}
