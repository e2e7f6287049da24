//! Where lines go: standard output, or a file, which may be rotated.

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
    /// What the next write has to begin with.
    start: Start,
    checked: Instant,
    check_every: Duration,
}

/// How the next write continues the end of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Whether it begins with a line end, because the last line is unfinished.
    pub(super) newline: bool,
    /// Bytes of a broken-off write that the next record reports, with that line end.
    pub(super) torn: u64,
}

impl From<&Tail> for Start {
    fn from(tail: &Tail) -> Self {
        let newline = tail.unfinished;
        // Where only the line end of a record is missing, nothing is torn.
        let own = u64::from(newline && tail.torn > 0);
        Self {
            newline,
            torn: tail.torn + own,
        }
    }
}

impl Sink {
    /// Standard output, where each start of pgvalet begins a chain: its reader sees
    /// the chain from the first line.
    pub(super) fn stdout() -> (Self, Chain) {
        (Self::Stdout, Chain::new())
    }

    /// The file at `path`, and where its chain stands.
    pub(super) fn open(path: &Path, check_every: Duration) -> Result<(Self, Chain), AuditError> {
        let (file, tail) = open(path)?;
        if tail.torn > 0 {
            tracing::warn!(
                path = %path.display(),
                bytes = tail.torn,
                "the audit log ends in the middle of a record, which the next record will report"
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

    /// Whether it is time to look for a rotation, which may open and read another
    /// file.
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::File(log) if log.is_due())
    }

    /// Follows a rotation: if the file is no longer the one at its path, a new one is
    /// begun there. If that fails, lines go on into the old file.
    pub(super) fn follow(&mut self) -> Result<(), AuditError> {
        let Self::File(log) = self else {
            return Ok(());
        };
        if !log.is_due() {
            return Ok(());
        }
        log.checked = Instant::now();
        if log.is_at_its_path() {
            return Ok(());
        }
        let (file, tail) = open(&log.path)?;
        let old = std::mem::replace(&mut log.file, file);
        // On a thread of its own, so that nobody waits for the disk. If there is no
        // thread, the lines are written but perhaps not synchronised.
        let _ = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || old.sync_data());
        log.start = Start::from(&tail);
        tracing::info!(path = %log.path.display(), "the audit log was rotated; its chain continues in a new file");
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

    /// Where the chain stands in the file after a failed write; `None` if that cannot
    /// be told.
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
    fn is_due(&self) -> bool {
        self.checked.elapsed() >= self.check_every
    }

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

/// Opens a log, or makes one that only its owner may read and write.
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
    // The chains of two writers would mix in one file. A device keeps no chain, and several
    // programs may write to it.
    if file.metadata().map_err(failed)?.is_file() {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::Locked(display(path))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let tail = tail::read(&file)
        .map_err(failed)?
        .ok_or_else(|| AuditError::Foreign(display(path)))?;
    Ok((file, tail))
}
