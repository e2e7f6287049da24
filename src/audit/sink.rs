//! Where lines go: a file that others may rotate away, or standard output.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::line::Chain;
use super::log::{AuditError, display};
use super::tail::{self, Tail};

pub(super) enum Sink {
    Stdout,
    File(LogFile),
}

/// An append-only file, of which this process is the only writer.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// How its end has to be continued.
    start: Start,
    checked: Instant,
    check_every: Duration,
}

/// What the next write has to begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// A line end, for the unfinished line before it.
    pub(super) newline: bool,
    /// Bytes to own up to, that line end among them.
    pub(super) torn: u64,
}

impl From<&Tail> for Start {
    fn from(tail: &Tail) -> Self {
        let newline = tail.unfinished;
        // The line end of a record that lacked only that is not torn.
        let own = u64::from(newline && tail.torn > 0);
        Self {
            newline,
            torn: tail.torn + own,
        }
    }
}

impl Sink {
    /// A reader of standard output sees every chain from its beginning.
    pub(super) fn stdout() -> (Self, Chain) {
        (Self::Stdout, Chain::new())
    }

    pub(super) fn open(path: &Path, check_every: Duration) -> Result<(Self, Chain), AuditError> {
        let (file, tail) = open(path)?;
        if tail.torn > 0 {
            tracing::warn!(
                path = %path.display(),
                bytes = tail.torn,
                "the audit log ends in the middle of a record: the next one says so"
            );
        }
        let file = LogFile {
            path: path.to_owned(),
            file,
            start: Start::from(&tail),
            checked: Instant::now(),
            check_every,
        };
        Ok((Self::File(file), tail.chain))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdout => "stdout".to_owned(),
            Self::File(file) => display(&file.path),
        }
    }

    /// Whether the next write looks after its file first, which may open and read
    /// another one.
    pub(super) fn looks(&self) -> bool {
        matches!(self, Self::File(log) if log.checked.elapsed() >= log.check_every)
    }

    /// Follows a rotation: when the file is no longer the one at its path, a
    /// new one is begun there. When that cannot be, the old one is still the
    /// best place.
    pub(super) fn follow(&mut self) -> Result<(), AuditError> {
        let Self::File(log) = self else {
            return Ok(());
        };
        if log.checked.elapsed() < log.check_every {
            return Ok(());
        }
        log.checked = Instant::now();
        if log.is_at_its_path() {
            return Ok(());
        }
        let (file, tail) = open(&log.path)?;
        let old = std::mem::replace(&mut log.file, file);
        // Nobody waits for a disk to have it. What is lost is not synchronised, at
        // worst: the lines are written.
        let _ = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || old.sync_data());
        log.start = Start::from(&tail);
        tracing::info!(path = %log.path.display(), "the audit log was rotated; its chain goes on in a new file");
        Ok(())
    }

    pub(super) fn start(&self) -> Start {
        match self {
            Self::Stdout => Start::default(),
            Self::File(log) => log.start,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::File(log) => {
                log.file.write_all(bytes)?;
                log.start = Start::default();
                Ok(())
            }
        }
    }

    /// After a failed write: where the chain stands in the file by now. `None`
    /// when that cannot be told.
    pub(super) fn recover(&mut self) -> Option<Chain> {
        let Self::File(log) = self else {
            return None;
        };
        let tail = tail::read(&log.file).ok().flatten()?;
        log.start = Start::from(&tail);
        Some(tail.chain)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(log) => log.file.sync_data(),
        }
    }
}

impl LogFile {
    fn is_at_its_path(&self) -> bool {
        let same = |here: std::fs::Metadata, there: std::fs::Metadata| {
            (here.dev(), here.ino()) == (there.dev(), there.ino())
        };
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(here), Ok(there)) => same(here, there),
            (_, Err(e)) => e.kind() != io::ErrorKind::NotFound,
            (Err(_), _) => true,
        }
    }
}

/// Opens or makes a log, for its owner alone.
fn open(path: &Path) -> Result<(File, Tail), AuditError> {
    let failed = |error: io::Error| AuditError::Open {
        path: display(path),
        error: error.to_string(),
    };
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // Two writers would make two chains in one file.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AuditError::Locked(display(path))),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let tail = tail::read(&file)
        .map_err(failed)?
        .ok_or_else(|| AuditError::Foreign(display(path)))?;
    Ok((file, tail))
}
