//! The problems of one text, collected while it is read, so that one run shows all of them; and
//! the file in which the text stands.

use std::cell::{Ref, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{ConfigErrors, Problem};
use crate::secret::StoreName;

/// The problems found so far, with the byte offsets at which they stand.
pub(super) struct Problems<'t> {
    text: &'t str,
    file: &'t Path,
    list: RefCell<Vec<(usize, String)>>,
    /// Which stores there are, as soon as that was read: every secret is in one of them.
    stores: RefCell<Vec<StoreName>>,
    /// Whether a misspelt key is read as the one that it probably means.
    pub(super) guesses: bool,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, file: &'t Path) -> Self {
        Self {
            text,
            file,
            list: RefCell::default(),
            stores: RefCell::default(),
            guesses: false,
        }
    }

    /// The text that is being read.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// A path as the text means it: a relative one begins where the file is.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let directory = self.file.parent();
        directory.map_or_else(|| path.into(), |directory| directory.join(path))
    }

    pub(super) fn know_stores(&self, stores: Vec<StoreName>) {
        *self.stores.borrow_mut() = stores;
    }

    pub(super) fn stores(&self) -> Ref<'_, Vec<StoreName>> {
        self.stores.borrow()
    }

    pub(super) fn add(&self, at: &Range<usize>, message: impl Into<String>) {
        self.list.borrow_mut().push((at.start, message.into()));
    }

    /// `value`, unless anything was found wrong. A `value` of `None` comes with a problem.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        let mut list = self.list.into_inner();
        match value {
            Some(value) if list.is_empty() => return Ok(value),
            _ => list.sort_by_key(|(at, _)| *at),
        }
        let problems = list
            .into_iter()
            .map(|(at, message)| {
                let (line, column) = position(self.text, at);
                Problem {
                    line,
                    column,
                    message,
                }
            })
            .collect();
        Err(ConfigErrors {
            file: self.file.to_owned(),
            problems,
        })
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
