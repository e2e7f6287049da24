//! A log that somebody changes who knows how it is made, but has not its key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::audit::tree::leaf;
use crate::base::hex;

/// Makes every `prev` right.
pub(super) fn chain_again(lines: &mut [String]) {
    for i in 1..lines.len() {
        let prev = hex::encode(&leaf(lines[i - 1].as_bytes())[..4]);
        let at = lines[i].rfind("\"prev\":\"").expect("there") + 8;
        lines[i].replace_range(at..at + 8, &prev);
    }
}

/// Small numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % n
    }
}

/// The files of a log, by their names.
type Files = BTreeMap<String, Vec<u8>>;

const LOG: &str = "audit.jsonl";
const CHECKPOINT: &str = "audit.jsonl.checkpoint";
const SEGMENTS: [&str; 3] = ["audit.jsonl.1", "audit.jsonl.2", LOG];

/// A log of three files, and the checkpoints that were beside it at times.
struct Original {
    files: Files,
    key: PublicKey,
    checkpoints: Vec<Vec<u8>>,
}

async fn original() -> Original {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(LOG);
    let mut checkpoints = Vec::new();
    for n in 1..=3 {
        for _ in 0..2 {
            more(&path, 7).await;
            checkpoints.push(fs::read(directory.path().join(CHECKPOINT)).expect("read"));
        }
        if n < 3 {
            fs::rename(&path, files::beside(&path, &format!(".{n}"))).expect("renamed");
        }
    }
    let files = fs::read_dir(directory.path()).expect("read").map(|entry| {
        let entry = entry.expect("read");
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read(entry.path()).expect("read"))
    });
    let key = fs::read_to_string(files::public_key(&path)).expect("read");
    Original {
        files: files.collect(),
        key: PublicKey::parse(&key).expect("a key"),
        checkpoints,
    }
}

impl Original {
    /// Checks `files` with the public key; `kept`: and with the last checkpoint.
    fn check(&self, files: &Files, kept: bool) -> Report {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            fs::write(directory.path().join(name), content).expect("written");
        }
        let last = self.checkpoints.last().expect("some");
        let note = String::from_utf8(last.clone()).expect("UTF-8");
        let against = Against {
            key: Some(self.key.clone()),
            checkpoint: kept.then(|| ("kept".to_owned(), note)),
            partial: false,
        };
        verify(&Source::Log(directory.path().join(LOG)), &against).expect("read")
    }

    /// Changes something. Returns what, and whether only a checkpoint that is kept elsewhere
    /// shows it.
    fn tamper(&self, dice: &mut Dice, files: &mut Files) -> (String, bool) {
        let segment = SEGMENTS[dice.below(3)];
        let mut all = all_lines(files);
        let at = dice.below(all.len());
        match dice.below(11) {
            0..3 => {
                let name = [segment, CHECKPOINT][usize::from(dice.below(10) == 0)];
                let bytes = files.get_mut(name).expect("there");
                let (byte, bit) = (dice.below(bytes.len()), dice.below(8));
                bytes[byte] ^= 1 << bit;
                (format!("bit {bit} of byte {byte} of {name}"), false)
            }
            3 => {
                let bytes = files.get_mut(LOG).expect("there");
                let cut = 1 + dice.below(bytes.len());
                bytes.truncate(bytes.len() - cut);
                (format!("{cut} bytes at the end"), false)
            }
            4 => {
                let bytes = files.get_mut(SEGMENTS[0]).expect("there");
                let cut = 1 + dice.below(bytes.len());
                bytes.drain(..cut);
                (format!("{cut} bytes at the beginning"), false)
            }
            5 => {
                files.remove(segment);
                (format!("{segment} as a whole"), false)
            }
            6 => {
                let other = dice.below(all.len());
                let other = if other == at {
                    (at + 1) % all.len()
                } else {
                    other
                };
                let (a, b) = (all[at].1.clone(), all[other].1.clone());
                (all[at].1, all[other].1) = (b, a);
                put(files, &all);
                (
                    format!("records {} and {} swapped", at + 1, other + 1),
                    false,
                )
            }
            7 => {
                // Some lines go to another place, which may be in another file.
                let n = 1 + dice.below(5.min(all.len() - at));
                let moved: Vec<_> = all.drain(at..at + n).collect();
                let to = dice.below(all.len());
                let to = if to == at { (to + 1) % all.len() } else { to };
                let name = all[to].0;
                let moved = moved.into_iter().map(|(_, line)| (name, line));
                all.splice(to..to, moved);
                put(files, &all);
                (format!("{n} records from {} on to {to}", at + 1), false)
            }
            8 => {
                let (name, line) = all[at].clone();
                match dice.below(2) {
                    0 => drop(all.remove(at)),
                    _ => all.insert(at, (name, line)),
                }
                put(files, &all);
                (format!("record {} removed or copied", at + 1), false)
            }
            9 => {
                all[at].1 = all[at].1.replacen("proxy\":\"", "proxy\":\"x", 1);
                let (names, mut lines): (Vec<_>, Vec<_>) = all.into_iter().unzip();
                chain_again(&mut lines);
                put(files, &names.into_iter().zip(lines).collect());
                (
                    format!("record {} changed, and all made to fit", at + 1),
                    false,
                )
            }
            _ => {
                // As it was when an older checkpoint was beside it, or only that.
                let old = &self.checkpoints[dice.below(self.checkpoints.len() - 1)];
                files.insert(CHECKPOINT.to_owned(), old.clone());
                let size = size_of_checkpoint(old);
                let cuts = dice.below(2) == 0;
                if cuts {
                    all.truncate(size);
                    put(files, &all);
                }
                (format!("checkpoint {size} again, log cut: {cuts}"), cuts)
            }
        }
    }
}

fn size_of_checkpoint(note: &[u8]) -> usize {
    let note = std::str::from_utf8(note).expect("UTF-8");
    let size = note.lines().nth(1).expect("a size");
    size.parse().expect("a number")
}

/// Every line with the name of its file.
fn all_lines(files: &Files) -> Vec<(&'static str, String)> {
    let of = |name: &'static str| {
        let text = String::from_utf8(files[name].clone()).expect("UTF-8");
        let lines: Vec<_> = text.lines().map(|line| (name, line.to_owned())).collect();
        lines
    };
    SEGMENTS.into_iter().flat_map(of).collect()
}

fn put(files: &mut Files, lines: &Vec<(&'static str, String)>) {
    for name in SEGMENTS {
        files.insert(name.to_owned(), Vec::new());
    }
    for (name, line) in lines {
        let file = files.get_mut(*name).expect("there");
        file.extend_from_slice(line.as_bytes());
        file.push(b'\n');
    }
}

#[tokio::test]
async fn whatever_is_changed_is_found() {
    let original = original().await;
    for kept in [false, true] {
        let report = original.check(&original.files, kept);
        assert_eq!((report.broken, report.notes.len()), (None, 0));
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut unseen = Vec::new();
    for _ in 0..1000 {
        let mut files = original.files.clone();
        let (what, needs_kept) = original.tamper(&mut dice, &mut files);
        assert_ne!(files, original.files, "{what}: nothing was changed");
        if original.check(&files, needs_kept).broken.is_none() {
            unseen.push(what);
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// Everything is written anew, with another key of the same name.
#[tokio::test]
async fn a_log_that_is_signed_anew_is_not_the_log() {
    let original = original().await;
    let other = self::original().await;
    assert!(original.check(&other.files, false).broken.is_some());
    let lines = all_lines(&other.files);
    let first: Value = serde_json::from_str(&lines[0].1).expect("JSON");
    assert_eq!(first["event"], "checkpoint");
}
