//! The files of a log: the one that is written, those before it, and what stands beside them.
//!
//! ```text
//! audit.jsonl                   what is written now
//! audit.jsonl.000000000001.zst  a closed segment, by the number of its first record
//! audit.jsonl.1                 likewise, where another program has renamed the file
//! audit.jsonl.checkpoint        the newest signed checkpoint
//! audit.jsonl.edge              what the tree is continued from after a restart
//! audit.jsonl.key, .pub         the key pair
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::line::{Link, START};

/// The name of a compressed segment ends so.
pub(super) const COMPRESSED: &str = ".zst";

/// The path with something appended to the name.
pub(super) fn beside(log: &Path, end: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(end);
    name.into()
}

pub(super) fn checkpoint(log: &Path) -> PathBuf {
    beside(log, ".checkpoint")
}

pub(super) fn edge(log: &Path) -> PathBuf {
    beside(log, ".edge")
}

pub(super) fn public_key(log: &Path) -> PathBuf {
    beside(log, ".pub")
}

/// Where the file is kept that begins with record `first`, when it is closed.
pub(super) fn segment(log: &Path, first: u64) -> PathBuf {
    beside(log, &format!(".{first:012}"))
}

/// The number of the first record of a file that pgvalet has closed, by its name.
pub(super) fn number_of(log: &Path, path: &Path) -> Option<u64> {
    let name = path.to_str()?.strip_prefix(log.to_str()?)?;
    let digits = name.strip_prefix('.')?;
    let digits = digits.strip_suffix(COMPRESSED).unwrap_or(digits);
    (digits.len() >= 12).then(|| digits.parse().ok()).flatten()
}

/// The lines of a file of a log, which may be compressed.
pub struct Lines(BufReader<Box<dyn Read + Send>>);

impl Lines {
    /// # Errors
    /// The file cannot be read; the text names it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let reader = reader(path).map_err(named)?;
        Ok(Self(BufReader::with_capacity(1 << 17, reader)))
    }

    /// Replaces `line` by the next line, with its line end. `false`: there is none.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        Ok(self.0.read_until(b'\n', line)? > 0)
    }
}

/// The bytes of a file of a log, which may be compressed.
///
/// # Errors
/// The file cannot be read.
pub(super) fn reader(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let compressed = beside(path, COMPRESSED);
    match File::open(path) {
        // It has been compressed since somebody found it here.
        Err(e) if e.kind() == io::ErrorKind::NotFound && compressed.exists() => reader(&compressed),
        Ok(file) if path.extension().is_some_and(|e| e == "zst") => {
            Ok(Box::new(zstd::Decoder::new(file)?))
        }
        opened => Ok(Box::new(opened?)),
    }
}

/// A line without its end.
pub fn body(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// A file of a log, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Number and time of its first record.
    pub(super) first: u64,
    pub(super) time: String,
}

impl Segment {
    /// Its lines.
    pub(super) fn lines(&self) -> io::Result<Lines> {
        Ok(Lines(BufReader::with_capacity(1 << 17, self.reader()?)))
    }

    /// Its bytes. If the log has gone on in a new file since, it has another name by now.
    pub(super) fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        let closed = segment(&self.path, self.first);
        let moved = |now: Self| now.first != self.first;
        let named =
            |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", self.path.display()));
        let opened = reader(&self.path);
        // Asked after the file was opened: it may go on in a new file between the two.
        if self.is_open() && Self::of(&self.path).is_ok_and(|now| now.is_none_or(moved)) {
            return reader(&closed).or(opened).map_err(named);
        }
        opened.map_err(named)
    }

    /// Whether it may be the file that is written now.
    fn is_open(&self) -> bool {
        self.first != u64::MAX && !self.is_compressed()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.path.extension().is_some_and(|e| e == "zst")
    }

    /// `None`: the file has no record.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut lines = Lines::open(path)?;
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            if let Some(link) = Link::read(body(&line)) {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    first: link.seq,
                    time: link.time,
                }));
            }
        }
        Ok(None)
    }
}

/// The files of a log that have records, in their order.
///
/// # Errors
/// The directory, or one of the files, cannot be read.
pub fn segments(log: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(paths(list(log)?))
}

fn paths(segments: Vec<Segment>) -> Vec<PathBuf> {
    segments.into_iter().map(|segment| segment.path).collect()
}

pub(super) fn list(log: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for path in closed(log)? {
        match (number_of(log, &path), begins_like_a_log(&path)) {
            (_, Ok(true)) => found.extend(Segment::of(&path)?),
            // A part of the log that cannot be read stays a part: whoever reads it is told so,
            // and does not take its records for ones that never were.
            (Some(first), Err(_)) => found.push(Segment {
                path,
                first,
                time: String::new(),
            }),
            (_, Ok(false)) | (None, Err(_)) => {}
        }
    }
    if log.exists() {
        found.extend(Segment::of(log)?);
    }
    sort(&mut found);
    // One that was closed while its directory was read is there under two names.
    found.dedup_by(|a, b| a.first == b.first && a.time == b.time);
    Ok(found)
}

/// In the order of their records. Where several logs begin, as on standard output each start
/// begins one, time tells which is first.
pub(super) fn sort(segments: &mut [Segment]) {
    if segments.iter().filter(|s| s.first == 1).count() > 1 {
        segments.sort_by(|a, b| (&a.time, a.first).cmp(&(&b.time, b.first)));
    } else {
        segments.sort_by_key(|s| s.first);
    }
}

/// What stands beside a log under a name that begins like the log's. Of a segment that is just
/// being compressed, both forms are there.
pub(super) fn closed(log: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |end: &String| {
        end.starts_with(['.', '-']) && !OTHERS.contains(&end.as_str()) && !end.ends_with(".tmp")
    };
    let ends = beginning_like(log)?.into_iter().filter(is_one);
    let mut found: Vec<_> = ends.map(|end| beside(log, &end)).collect();
    let all = found.clone();
    found.retain(|path| all.binary_search(&beside(path, COMPRESSED)).is_err());
    Ok(found)
}

/// How the names of the files go on that begin like the one at `path`, in their order.
fn beginning_like(path: &Path) -> io::Result<Vec<String>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?.file_name();
        let entry = entry.to_string_lossy();
        found.extend(entry.strip_prefix(&*name).map(str::to_owned));
    }
    found.sort();
    Ok(found)
}

/// Where a log of an older format is kept, which was found at `now`.
pub(super) fn set_aside(log: &Path, now: DateTime<Utc>) -> PathBuf {
    log.with_extension(now.format("v1-%Y%m%dT%H%M%SZ.jsonl").to_string())
}

/// The logs of an older format that were set aside, the oldest first.
///
/// # Errors
/// The directory cannot be read.
pub fn of_old_format(log: &Path) -> io::Result<Vec<PathBuf>> {
    let stem = log.with_extension("v1-");
    let found = beginning_like(&stem)?;
    Ok(found.into_iter().map(|end| beside(&stem, &end)).collect())
}

/// What stands beside a log and is no part of it.
const OTHERS: [&str; 4] = [".checkpoint", ".edge", ".key", ".pub"];

/// The file that says how far a sink is.
pub(super) fn cursor(log: &Path, sink: &str) -> PathBuf {
    beside(log, &format!(".sink-{sink}"))
}

fn begins_like_a_log(path: &Path) -> io::Result<bool> {
    let mut line = Vec::new();
    let any = Lines::open(path)?.next(&mut line)?;
    Ok(any && line.starts_with(START))
}

/// Replaces a file at once, so that a reader sees the old content or the new.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let new = beside(path, ".tmp");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(new, path)
}
