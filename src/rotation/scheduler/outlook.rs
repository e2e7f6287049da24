//! What a scheduler expects, for others to read.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::rotation::RotationError;

/// What a scheduler expects of its secret.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// When the next rotation starts. Empty where there is no schedule, or where
    /// somebody else rotates.
    pub at: Option<DateTime<Utc>>,
    /// Why the last attempt failed, if none has succeeded since.
    pub failure: Option<Arc<str>>,
}

/// The outlook of one secret, which its scheduler keeps up to date.
#[derive(Clone, Default)]
pub struct Next(Arc<Mutex<Outlook>>);

impl Next {
    pub fn get(&self) -> Outlook {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, at: Option<DateTime<Utc>>) {
        self.0.lock().at = at;
    }

    /// Another rotator at work is no failure.
    pub(super) fn fails(&self, error: &RotationError) {
        if error.kind() == "elsewhere" {
            return;
        }
        self.0.lock().failure = Some(error.to_string().into());
    }

    pub(super) fn works(&self) {
        self.0.lock().failure = None;
    }
}
