//! The end of old sessions, for a password that has leaked: whoever logged in
//! with it stays logged in, because Postgres asks only once.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{RotationError, SqlError};
use super::report::StepOutcome;
use super::roles;
use super::sql::Session;
use crate::secret::{SecretId, VersionId};

/// For a running proxy to notice, to prove the version and to adopt it.
const ADOPTION: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the proxies use a version; an error says why that is not known.
pub type Adopted = Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>;

/// How old sessions are ended after a rotation.
#[derive(Clone)]
pub struct Emergency {
    /// How long sessions may take to end by themselves.
    pub drain: Duration,
    /// Asks a running proxy.
    pub adopted: Arc<dyn Fn(SecretId, VersionId) -> Adopted + Send + Sync>,
}

/// Waits for adoption, lets sessions drain, ends the rest.
pub async fn old_sessions(
    session: &mut Session,
    user: &str,
    before: Option<&str>,
    (secret, version): (&SecretId, &VersionId),
    emergency: &Emergency,
    tell: &(dyn Fn(StepOutcome, String) + Sync),
) -> Result<(), RotationError> {
    let began = Instant::now();
    loop {
        match (emergency.adopted)(secret.clone(), version.clone()).await {
            Ok(true) => {
                let ms = began.elapsed().as_millis();
                tell(
                    StepOutcome::Done,
                    format!("the proxy adopted the new version after {ms} ms"),
                );
                break;
            }
            Ok(false) if began.elapsed() < ADOPTION => sleep(PAUSE).await,
            Ok(false) => {
                let text = format!("the proxy did not adopt the new version within {ADOPTION:?}");
                tell(StepOutcome::Failed, text);
                break;
            }
            Err(why) => {
                tell(
                    StepOutcome::Skipped,
                    format!("no proxy was waited for: {why}"),
                );
                break;
            }
        }
    }
    let left = drained(session, user, before, emergency.drain).await?;
    let waited = format!("after {:?}", emergency.drain);
    match left {
        0 => tell(
            StepOutcome::Done,
            format!("all old sessions of \"{user}\" ended by themselves"),
        ),
        n => {
            tell(
                StepOutcome::Done,
                format!("{n} old sessions of \"{user}\" are left {waited}"),
            );
            let ended = roles::terminate(session, user, before).await?;
            // A backend that was told to go leaves when it next looks.
            let left = drained(session, user, before, ADOPTION).await?;
            let outcome = if left == 0 {
                StepOutcome::Done
            } else {
                StepOutcome::Failed
            };
            tell(
                outcome,
                format!("{ended} old sessions were ended, {left} remain"),
            );
        }
    }
    Ok(())
}

/// Waits until there are no more; how many are left at the deadline.
async fn drained(
    session: &mut Session,
    user: &str,
    before: Option<&str>,
    within: Duration,
) -> Result<usize, SqlError> {
    let deadline = Instant::now() + within;
    loop {
        let left = roles::count(session, user, before).await?;
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        sleep(PAUSE).await;
    }
}
