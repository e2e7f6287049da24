//! Where lines go: standard output, or a file, which may be rotated.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::log::{AuditError, display};
use super::stdout::Stdout;

pub(super) enum Sink {
    Stdout(Stdout),
    File(LogFile),
}

/// An append-only file, of which this process is the only writer.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// What the next write has to begin with.
    start: Start,
    /// How long the file is, as far as this process has written it.
    length: u64,
    /// A device has no length, and no files beside it.
    regular: bool,
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

/// What another program did to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// It was renamed or removed; a new one has been begun.
    Renamed,
    /// It was cut.
    Truncated,
}

impl Sink {
    /// Opens the file at `path`, or makes one that only its owner may read and write.
    pub(super) fn open(path: &Path, check_every: Duration) -> Result<Self, AuditError> {
        let file = open(path).map_err(|e| e.of(path))?;
        let data = file.metadata().map_err(|e| Failed::from(e).of(path))?;
        Ok(Self::File(LogFile {
            path: path.to_owned(),
            file,
            start: Start::default(),
            length: data.len(),
            regular: data.is_file(),
            checked: Instant::now(),
            check_every,
        }))
    }

    pub(super) fn stdout() -> Self {
        Self::Stdout(Stdout::default())
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdout(_) => "stdout".to_owned(),
            Self::File(file) => display(&file.path),
        }
    }

    /// The path of a file that has others beside it.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(log) if log.regular => Some(&log.path),
            Self::File(_) | Self::Stdout(_) => None,
        }
    }

    /// Whether it is time to look for a rotation, which may open and read another
    /// file.
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::File(log) if log.is_due())
    }

    /// Follows what another program did: if the file is no longer the one at its path, a new
    /// one is begun there. If that fails, lines go on into the old file.
    pub(super) fn follow(&mut self) -> Result<Option<Moved>, AuditError> {
        match self {
            Self::File(log) if log.is_due() => log.follow(),
            Self::File(_) | Self::Stdout(_) => Ok(None),
        }
    }

    pub(super) fn start(&self) -> Start {
        match self {
            Self::Stdout(out) => out.start,
            Self::File(log) => log.start,
        }
    }

    pub(super) fn begin_with(&mut self, start: Start) {
        match self {
            Self::Stdout(out) => out.start = start,
            Self::File(log) => log.start = start,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(log) => {
                log.file.write_all(bytes)?;
                log.start = Start::default();
                log.length += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// How many bytes of a write that failed are in the file.
    pub(super) fn written(&mut self) -> u64 {
        let log = match self {
            Self::Stdout(out) => return out.written,
            Self::File(log) => log,
        };
        let Ok(data) = log.file.metadata() else {
            return 0;
        };
        let written = data.len().saturating_sub(log.length);
        log.length += written;
        written
    }

    /// How long the file is that is written now.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Stdout(_) => 0,
            Self::File(log) => log.length,
        }
    }

    /// Closes the file under another name, and goes on in a new one.
    pub(super) fn close_as(&mut self, closed: &Path) -> Result<(), AuditError> {
        let Self::File(log) = self else {
            return Ok(());
        };
        std::fs::rename(&log.path, closed).map_err(|e| Failed::from(e).of(closed))?;
        let begun = log.begin_anew();
        if begun.is_err() {
            // It goes on in the old one, which gets its name back.
            let _ = std::fs::rename(closed, &log.path);
        }
        begun
    }

    /// The file, to be synchronised by somebody else.
    pub(super) fn handle(&self) -> Option<File> {
        match self {
            Self::Stdout(_) => None,
            Self::File(log) => log.file.try_clone().ok(),
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(log) => log.file.sync_data(),
        }
    }
}

impl LogFile {
    fn is_due(&self) -> bool {
        self.checked.elapsed() >= self.check_every
    }

    fn follow(&mut self) -> Result<Option<Moved>, AuditError> {
        self.checked = Instant::now();
        if !self.is_at_its_path() {
            self.begin_anew()?;
            return Ok(Some(Moved::Renamed));
        }
        let length = self.file.metadata().map_or(self.length, |data| data.len());
        if self.regular && length < self.length {
            self.length = length;
            self.start = Start::default();
            return Ok(Some(Moved::Truncated));
        }
        Ok(None)
    }

    /// Goes on in a new file at the path.
    fn begin_anew(&mut self) -> Result<(), AuditError> {
        let file = open(&self.path).map_err(|e| e.of(&self.path))?;
        self.length = file.metadata().map_or(0, |data| data.len());
        let old = std::mem::replace(&mut self.file, file);
        // On a thread of its own, so that nobody waits for the disk. If there is no
        // thread, the lines are written but perhaps not synchronised.
        let _ = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || old.sync_data());
        self.start = Start::default();
        Ok(())
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

enum Failed {
    Locked,
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failed {
    fn of(self, path: &Path) -> AuditError {
        let path = display(path);
        match self {
            Self::Locked => AuditError::Locked(path),
            Self::Io(error) => AuditError::Open {
                path,
                error: error.to_string(),
            },
        }
    }
}

fn open(path: &Path) -> Result<File, Failed> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    // The chains of two writers would mix in one file. A device keeps no chain, and several
    // programs may write to it.
    if file.metadata()?.is_file() {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Failed::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Ok(file)
}
