//! Copying a store to another place: from a file to a server, back, or between two of a
//! kind. Everything goes with it: secrets, versions, labels, tags, policies, deletion dates,
//! principals and their keys. If the other store has another key, data keys are wrapped
//! anew under that.
//!
//! One transaction reads the source as it is at one moment, and one writes the target, which
//! has everything then or nothing. Before it is committed, all of it is read back and
//! compared, and every value is opened under both keys.

use super::key::Key;
use super::storage::{self, Everything, Location, StorageError};
use super::{KeySource, OpenError, sealed};

/// A store, and the key that opens it.
#[derive(Debug, Clone)]
pub struct Place {
    pub location: Location,
    pub key: KeySource,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub secrets: usize,
    pub versions: usize,
    pub principals: usize,
}

/// Why a store was not copied. The target holds nothing then that it did not hold before.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{0} would be the source and the target; name two stores")]
    Same(Location),
    #[error(
        "the store {0} is not empty, and nothing in it is overwritten; name a file that does not \
         exist, or for a server another schema (?schema=NAME)"
    )]
    NotEmpty(Location),
    #[error("{what} is not in {to} as it is in {from}, so that nothing was written; try again")]
    Differs {
        what: &'static str,
        from: Location,
        to: Location,
    },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Copies a store into another one, which is made if there is none, and must be empty. Blocks
/// until it is done.
///
/// # Errors
/// [`CopyError`]
pub fn copy(from: &Place, to: &Place) -> Result<Moved, CopyError> {
    if from.location == to.location {
        return Err(CopyError::Same(from.location.clone()));
    }
    if !storage::exists(&from.location)? {
        return Err(OpenError::None(from.location.clone()).into());
    }
    let at_source = |e: StorageError| e.at(&from.location);
    let at_target = |e: StorageError| e.at(&to.location);
    // Tells equal values from others, and is forgotten.
    let hash = Key::generate().ok_or(OpenError::NoRandomness)?;

    let source = storage::open(&from.location, &from.key)?;
    let mut reader = source.storage.writer();
    let rows = reader.reading().map_err(at_source)?;
    let there = rows.everything().map_err(at_source)?;
    let values = sealed::hashes(&from.location, &rows, &source.master, &hash)?;
    rows.rollback().map_err(at_source)?;

    let target = storage::open(&to.location, &to.key)?;
    let mut writer = target.storage.writer();
    let rows = writer.writing().map_err(at_target)?;
    if !rows.everything().map_err(at_target)?.is_empty() {
        return Err(CopyError::NotEmpty(to.location.clone()));
    }
    rows.add_everything(&there).map_err(at_target)?;
    sealed::rewrap(&to.location, &rows, &source.master, &target.master)?;
    let written = rows.everything().map_err(at_target)?;
    let differs = |what| CopyError::Differs {
        what,
        from: from.location.clone(),
        to: to.location.clone(),
    };
    if let Some(what) = there.difference(&written) {
        return Err(differs(what));
    }
    if sealed::hashes(&to.location, &rows, &target.master, &hash)? != values {
        return Err(differs("a value"));
    }
    rows.commit().map_err(at_target)?;
    Ok(count(&there))
}

fn count(everything: &Everything) -> Moved {
    Moved {
        secrets: everything.count("secret"),
        versions: everything.count("version"),
        principals: everything.count("principal"),
    }
}
