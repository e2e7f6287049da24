//! Canaries in other processes: replicas that take a seat, and use the new version before the
//! others do. The store is where they meet, by labels.
//!
//! | label | the seat |
//! |---|---|
//! | the seat's own, on the current version | is free |
//! | none | is taken: a replica tries the new version |
//! | that of its report, on the new version | a replica has used the new version, and all is well |
//!
//! A store removes a label only from the version that it is on, so that each seat is taken once.
//! (It says that a label was moved also where it is there already.)

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{PAUSE, Rotator};
use crate::rotation::ground;
use crate::secret::{StoreError, VersionId};

/// The label that a canary puts on a version that is not fit.
pub(in crate::rotation) const FAILED: &str = "pgvalet-canary-failed";
/// How long a seat may be free before it is known that nobody wants it.
const FREE: Duration = Duration::from_secs(10);
/// How long canaries may take until all have reported.
const REPORT: Duration = Duration::from_secs(45);

/// The label of a free seat.
pub(in crate::rotation) fn seat(number: usize) -> String {
    format!("pgvalet-canary-{number}")
}

/// The label by which the one who took a seat reports.
pub(in crate::rotation) fn report(number: usize) -> String {
    format!("pgvalet-canary-{number}-used")
}

impl Rotator<'_> {
    /// Offers so many seats, and waits for those who take them: how many have used the new version,
    /// and all is well.
    ///
    /// # Errors
    /// In words, why the new version is not fit.
    pub(super) async fn seats(
        &self,
        count: usize,
        old: &VersionId,
        new: &VersionId,
    ) -> Result<usize, String> {
        let seats: Vec<String> = (1..=count).map(seat).collect();
        let reports: Vec<String> = (1..=count).map(report).collect();
        let done = self.offer(&seats, &reports, old, new).await;
        for label in seats
            .iter()
            .chain(&reports)
            .map(String::as_str)
            .chain([FAILED])
        {
            if let Err(e) = self.put_label(label, None).await {
                tracing::debug!(secret = %self.plan.secret, "{label} was not removed: {e}");
            }
        }
        done
    }

    async fn offer(
        &self,
        seats: &[String],
        reports: &[String],
        old: &VersionId,
        new: &VersionId,
    ) -> Result<usize, String> {
        let (store, secret) = (self.store, &self.plan.secret);
        let of_store = |e: StoreError| e.to_string();
        // Of an attempt that did not come to its end.
        for label in reports.iter().map(String::as_str).chain([FAILED]) {
            self.put_label(label, None).await.map_err(of_store)?;
        }
        for label in seats {
            self.put_label(label, Some(old)).await.map_err(of_store)?;
        }
        let began = Instant::now();
        loop {
            let description = store.describe(secret).await.map_err(of_store)?;
            let on = |labels: &[String], version: &VersionId| {
                let is_there = |label: &&String| description.version_with(label) == Some(version);
                labels.iter().filter(is_there).count()
            };
            if description.version_with(FAILED) == Some(new) {
                return Err("another replica tried it, and it did not serve there".to_owned());
            }
            let (free, used) = (on(seats, old), on(reports, new));
            let taken = seats.len().saturating_sub(free + used);
            if taken == 0 && (free == 0 || began.elapsed() > FREE) {
                return Ok(used);
            }
            if began.elapsed() > REPORT {
                return Err("a replica that tried it did not report in time".to_owned());
            }
            sleep(PAUSE).await;
        }
    }

    /// Moves a label to a version, or away, from wherever it is.
    async fn put_label(&self, label: &str, to: Option<&VersionId>) -> Result<(), StoreError> {
        let (store, secret) = (self.store, &self.plan.secret);
        let from = ground::holder(store, secret, label).await?;
        match from.as_ref() == to {
            true => Ok(()),
            false => store.move_label(secret, label, to.cloned(), from).await,
        }
    }
}
