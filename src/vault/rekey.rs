//! Giving a store another master key while it serves.
//!
//! 1. The new key is written beside the old one (`store.key.next`). The old one
//!    gets a second name, which it keeps (`store.key.old-…`).
//! 2. One transaction wraps every data key anew. Readers meanwhile see the store as
//!    it was before. Processes that have the store open notice the new key check
//!    with their next operation and find the key that opens it.
//! 3. The new key takes the name of the old one.
//!
//! If a rekey is killed before the commit of step 2, the store is as before, and the
//! next rekey uses the key that is there. If it is killed after that commit, whoever
//! opens the store next finds that the next key opens it, and does step 3. Values
//! are not encrypted anew, because their data keys never leave the store unwrapped.

use std::path::PathBuf;

use super::keyring::{self, Found};
use super::storage::{self, Location, StorageError};
use super::{KeySource, OpenError, sealed};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// Data keys that were wrapped anew.
    pub wrapped: usize,
    /// Where the old key is kept, if the new one took its file.
    pub old: Option<PathBuf>,
    /// An interrupted rekey was finished, and nothing else was done.
    pub finished: bool,
}

/// Gives the store another key: a new one of the same source, or that of another
/// source. Blocks until it is done.
pub fn rekey(
    location: &Location,
    from: &KeySource,
    to: Option<&KeySource>,
) -> Result<Rekeyed, OpenError> {
    let at = |e: StorageError| e.at(location);
    let storage = storage::connect(location)?.ok_or_else(|| OpenError::None(location.clone()))?;
    let mut writer = storage.writer();
    let check = writer.reading().and_then(|rows| rows.key_check());
    let check = check.map_err(at)?;
    let old = match keyring::find(from, &check, location)? {
        Found::Current(old) => old,
        Found::Next(_) => {
            from.promote_next()?;
            return Ok(Rekeyed {
                wrapped: 0,
                old: None,
                finished: true,
            });
        }
    };
    let (new, kept) = match to {
        // The old key stays where it is.
        Some(to) if to != from => (to.read_or_create()?, None),
        _ => (from.create_next()?, from.keep(&old)?),
    };
    let rows = writer.writing().map_err(at)?;
    // Another rekey was faster: `old` opens nothing any more.
    if rows.key_check().map_err(at)? != check {
        return Err(OpenError::Busy(location.clone()));
    }
    let wrapped = sealed::rewrap(location, &rows, &old, &new)?;
    let check = keyring::check_of(&new)?;
    rows.set_key_check(&check, &new.fingerprint()).map_err(at)?;
    rows.commit().map_err(at)?;
    drop(writer);
    // Among them are data keys that the old key opens.
    storage.forget_old_rows();
    if to.is_none_or(|to| to == from) {
        from.promote_next()?;
    }
    Ok(Rekeyed {
        wrapped,
        old: kept,
        finished: false,
    })
}
