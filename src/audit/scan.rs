//! Reads a log in blocks of whole lines, on all processors, with memory that does not grow with
//! the log: one thread reads and decompresses, others work on the blocks, and the caller takes
//! the results in the order of the log.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use parking_lot::Mutex;

/// The size of a block in bytes, unless one line is longer.
const BLOCK: usize = 1 << 20;

/// Lines of one file, in their order, each with its end but perhaps the last of the file.
pub(super) struct Block {
    /// Whether it is the last of its file.
    pub(super) ends_file: bool,
    bytes: Vec<u8>,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where its lines are, with their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = &self.bytes[at..];
            if rest.is_empty() {
                return None;
            }
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            at += length;
            Some(at - length..at)
        })
    }
}

/// Why a scan has ended early.
pub(super) enum Ended {
    /// Whoever took the results had enough.
    Enough,
    /// A file cannot be read.
    Io { file: usize, error: io::Error },
}

/// Calls `work` for each block of so many `files`, which `open` opens, and `take` with the number
/// of the file and the result, in the order of the log, until that says `false`.
///
/// # Errors
/// [`Ended`].
pub(super) fn scan<T: Send>(
    files: usize,
    open: impl Fn(usize) -> io::Result<Box<dyn Read + Send>> + Send,
    work: impl Fn(&Block) -> T + Sync,
    mut take: impl FnMut(usize, T) -> bool,
) -> Result<(), Ended> {
    let workers = thread::available_parallelism().map_or(2, NonZero::get);
    let (blocks, to_do) = sync_channel::<ToDo>(workers);
    let (done, results) = channel::<Done<T>>();
    // So many blocks there are at a time.
    let (spent, spare) = channel::<Vec<u8>>();
    for _ in 0..2 * workers + 2 {
        let _ = spent.send(Vec::new());
    }
    let (to_do, enough) = (Mutex::new(to_do), AtomicBool::new(false));
    thread::scope(|scope| {
        let (spent, to_do, work, enough) = (&spent, &to_do, &work, &enough);
        scope.spawn(move || read_all(files, open, &blocks, &spare, enough));
        for _ in 0..workers {
            let done = done.clone();
            scope.spawn(move || work_on(to_do, work, &done));
        }
        drop(done);
        let ended = in_order(&results, spent, &mut take);
        // The reader is let go, which may wait for room or for memory.
        enough.store(true, Relaxed);
        drop(results);
        while let Ok((_, _, block)) = to_do.lock().recv() {
            let _ = spent.send(block.map(|block| block.bytes).unwrap_or_default());
        }
        ended
    })
}

/// The number of a block, that of its file, and what was read.
type ToDo = (u64, usize, io::Result<Block>);

/// Likewise, with what came of it, and the memory of the block.
type Done<T> = (u64, usize, io::Result<(T, Vec<u8>)>);

fn in_order<T>(
    results: &Receiver<Done<T>>,
    spent: &Sender<Vec<u8>>,
    take: &mut impl FnMut(usize, T) -> bool,
) -> Result<(), Ended> {
    let mut next = 0;
    let mut early = BTreeMap::new();
    while let Ok((n, file, result)) = results.recv() {
        early.insert(n, (file, result));
        while let Some((file, result)) = early.remove(&next) {
            next += 1;
            match result {
                Ok((result, bytes)) => {
                    if !take(file, result) {
                        return Err(Ended::Enough);
                    }
                    let _ = spent.send(bytes); // the reader may have ended
                }
                Err(error) => return Err(Ended::Io { file, error }),
            }
        }
    }
    Ok(())
}

fn work_on<T>(
    to_do: &Mutex<Receiver<ToDo>>,
    work: &(impl Fn(&Block) -> T + Sync),
    done: &Sender<Done<T>>,
) {
    loop {
        let Ok((n, file, block)) = to_do.lock().recv() else {
            return;
        };
        let result = block.map(|block| (work(&block), block.bytes));
        if done.send((n, file, result)).is_err() {
            return;
        }
    }
}

/// Ends when all is read, or nobody works any more.
fn read_all(
    files: usize,
    open: impl Fn(usize) -> io::Result<Box<dyn Read + Send>>,
    blocks: &SyncSender<ToDo>,
    spare: &Receiver<Vec<u8>>,
    enough: &AtomicBool,
) {
    let mut n = 0;
    for file in 0..files {
        let opened = open(file);
        let read = opened.and_then(|mut reader| {
            read_file(&mut reader, spare, |block| {
                n += 1;
                !enough.load(Relaxed) && blocks.send((n - 1, file, Ok(block))).is_ok()
            })
        });
        if enough.load(Relaxed) {
            return;
        }
        if let Err(error) = read {
            let _ = blocks.send((n, file, Err(error))); // nobody works any more, or all do
            return;
        }
    }
}

fn read_file(
    reader: &mut impl Read,
    spare: &Receiver<Vec<u8>>,
    mut send: impl FnMut(Block) -> bool,
) -> io::Result<()> {
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let Ok(mut bytes) = spare.recv() else {
            return Ok(());
        };
        bytes.clear();
        bytes.append(&mut rest);
        let ends_file = fill(reader, &mut bytes)?;
        if !ends_file && let Some(end) = memchr::memrchr(b'\n', &bytes) {
            rest.extend_from_slice(&bytes[end + 1..]);
            bytes.truncate(end + 1);
        }
        let block = Block { ends_file, bytes };
        if !send(block) || ends_file {
            return Ok(());
        }
    }
}

/// Fills `bytes` up to the size of a block, or further, until there is a line end. `true`: the
/// file has ended.
fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let missing = BLOCK.saturating_sub(bytes.len()).max(BLOCK / 4) as u64;
        let got = reader.by_ref().take(missing).read_to_end(bytes)?;
        if (got as u64) < missing {
            return Ok(true);
        }
        if memchr::memrchr(b'\n', bytes).is_some() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::files;

    #[test]
    fn every_line_comes_once_and_in_its_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut paths = Vec::new();
        let mut expected = Vec::new();
        for file in 0..3 {
            let lines: Vec<String> = (0..20_000 * file)
                .map(|n| format!("{file} {n} {}\n", "x".repeat(n % 300)))
                .collect();
            let mut text = lines.concat();
            if file == 2 {
                text.pop(); // the last line has no end
                text += &"y".repeat(3 * BLOCK);
            }
            expected.extend(text.split_inclusive('\n').map(str::to_owned));
            let path = directory.path().join(format!("log.{file}"));
            std::fs::write(&path, text).expect("written");
            paths.push(path);
        }
        let mut found = Vec::new();
        let mut ends = 0;
        let scanned = scan(
            paths.len(),
            |n| files::reader(&paths[n]),
            |block| {
                let lines = block.lines().map(|line| block.bytes()[line].to_vec());
                (lines.collect::<Vec<_>>(), block.ends_file)
            },
            |_, (lines, ends_file)| {
                found.extend(
                    lines
                        .into_iter()
                        .map(|l| String::from_utf8(l).expect("UTF-8")),
                );
                ends += usize::from(ends_file);
                true
            },
        );
        assert!(scanned.is_ok());
        assert_eq!(ends, 3);
        assert!(found == expected);
        // Whoever has enough ends it.
        let open = |n: usize| files::reader(&paths[n]);
        let ended = scan(3, open, |_| (), |_, ()| false);
        assert!(matches!(ended, Err(Ended::Enough)));
        let open = |n: usize| match n {
            3 => Err(io::Error::other("gone")),
            n => files::reader(&paths[n]),
        };
        let ended = scan(4, open, |_| (), |_, ()| true);
        assert!(matches!(ended, Err(Ended::Io { file: 3, .. })));
    }
}
