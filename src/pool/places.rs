//! Which version logs in where, where a secret leads to several servers.
//!
//! After a failover the other host may have another password, as a replica that
//! lags behind has.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::secret::VersionId;
use crate::upstream::ConnectError;

/// The most places that are remembered: secrets that lead to ever new places must not fill the
/// memory.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Places {
    /// The version that last logged in at each place.
    worked: BTreeMap<Arc<str>, VersionId>,
    /// The place that last refused a version.
    refused_at: Option<Arc<str>>,
}

impl Places {
    pub fn note_success(&mut self, place: Arc<str>, version: &VersionId) {
        if self.worked.len() >= MOST && !self.worked.contains_key(&place) {
            self.worked.clear();
        }
        self.worked.insert(place, version.clone());
    }

    pub fn note_failure(&mut self, error: &ConnectError) {
        if let ConnectError::Refused { address, .. } = error
            && error.is_authentication()
        {
            self.refused_at = Some(address.as_str().into());
        }
    }

    /// The version that once logged in at the place that last refused a version.
    pub fn remembered(&self) -> Option<&VersionId> {
        self.worked.get(self.refused_at.as_ref()?)
    }
}
