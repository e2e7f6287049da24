//! The proof that a record is in the log: what somebody who has the public key, and nothing
//! else of the log, can check (C2SP tlog-proof).

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::checkpoint::Checkpoint;
use super::files::{self, Segment, body};
use super::line::{Link, number};
use super::note::PublicKey;
use super::tree::{Proof, encode, leaf};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "the log has no public key and no checkpoint beside it yet; they are made when a proxy writes it"
    )]
    Unsigned,
    #[error("the checkpoint beside the log is not signed with the key beside it")]
    OtherKey,
    #[error("record {seq} is not signed yet: the newest checkpoint has {size} records")]
    Later { seq: u64, size: u64 },
    #[error("record {0} is not in the log")]
    Missing(u64),
    #[error("the log is not what was signed; pgvalet audit verify says where")]
    Broken,
}

/// The proof that record `seq` is in the log at `path`: the record itself, the hashes that lead
/// from it to the root, and the newest checkpoint.
///
/// # Errors
/// See [`Unproved`].
pub fn prove(path: &Path, seq: u64) -> Result<String, Unproved> {
    let text = |path| fs::read_to_string(path).map_err(|_| Unproved::Unsigned);
    let key = text(files::public_key(path))?;
    let key = PublicKey::parse(&key).ok_or(Unproved::Unsigned)?;
    let note = text(files::checkpoint(path))?;
    let checkpoint = Checkpoint::open(&note, &key).ok_or(Unproved::OtherKey)?;
    let size = checkpoint.size;
    let index = seq.checked_sub(1).ok_or(Unproved::Missing(seq))?;
    let mut proof = Proof::new(index, size).ok_or(Unproved::Later { seq, size })?;
    let mut record = None;
    let mut next = 0;
    for segment in files::list(path)? {
        take(
            &segment,
            &mut next,
            size,
            &mut proof,
            |line| {
                record = Some(BASE64_STANDARD.encode(line));
            },
            seq,
        )?;
    }
    let record = record.ok_or(Unproved::Missing(seq))?;
    let (hashes, root) = proof.finish().ok_or(Unproved::Broken)?;
    if root != checkpoint.root {
        return Err(Unproved::Broken);
    }
    let mut out = format!("c2sp.org/tlog-proof@v1\nextra {record}\nindex {index}\n");
    for hash in &hashes {
        let _ = writeln!(out, "{}", encode(hash)); // a String takes everything
    }
    let _ = write!(out, "\n{note}");
    Ok(out)
}

/// Takes the records of a segment into the proof; `next` is the index of the one that is due.
fn take(
    segment: &Segment,
    next: &mut u64,
    size: u64,
    proof: &mut Proof,
    mut found: impl FnMut(&[u8]),
    seq: u64,
) -> Result<(), Unproved> {
    let mut lines = segment.lines()?;
    let mut line = Vec::new();
    while lines.next(&mut line)? {
        let line = body(&line);
        let Some(number) = number(line) else { continue };
        if *next == 0 && number > 1 {
            let link = Link::read(line);
            let tree = link.and_then(|link| link.tree?.tree());
            let tree = tree.ok_or(Unproved::Broken)?;
            if !proof.begin(&tree) {
                return Err(Unproved::Missing(seq));
            }
            *next = tree.size();
        }
        // A torn line begins like the record that is written anew after it.
        if number == *next + 1 && *next < size && Link::read(line).is_some() {
            proof.push(*next, leaf(line));
            if number == seq {
                found(line);
            }
            *next = number;
        }
    }
    Ok(())
}
