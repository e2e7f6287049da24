//! Ending old sessions after a password has leaked. Whoever logged in with it
//! stays logged in, because Postgres asks for a password only once.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{RotationError, SqlError};
use super::report::StepOutcome;
use super::sql::{Session, identifier, literal};
use crate::secret::{SecretId, VersionId};

/// How long a running proxy may take to notice the version, to prove it and to
/// adopt it.
const ADOPTION: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the running proxy uses a version; an error says why that is not known.
pub type Adopted = Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>;

/// How old sessions are ended after a rotation.
#[derive(Clone)]
pub struct Emergency {
    /// How long sessions may take to end by themselves.
    pub drain: Duration,
    /// Asks the running proxy whether it uses a version of a secret.
    pub adopted: Arc<dyn Fn(SecretId, VersionId) -> Adopted + Send + Sync>,
}

/// The sessions to be ended.
#[derive(Clone, Copy)]
pub struct Sessions<'a> {
    pub user: &'a str,
    /// A time of the server: sessions that logged in before it. `None`: all.
    pub before: Option<&'a str>,
}

/// Waits for adoption, lets sessions drain, ends the rest.
pub async fn old_sessions(
    session: &mut Session,
    old: Sessions<'_>,
    (secret, version): (&SecretId, &VersionId),
    emergency: &Emergency,
    tell: &(dyn Fn(StepOutcome, String) + Sync),
) -> Result<(), RotationError> {
    wait_for_adoption(secret, version, emergency, tell).await;
    let user = old.user;
    let left = drained(session, old, emergency.drain).await?;
    if left == 0 {
        let text = format!("all old sessions of \"{user}\" ended by themselves");
        tell(StepOutcome::Done, text);
        return Ok(());
    }
    let waited = emergency.drain;
    let text = format!("{left} old sessions of \"{user}\" are left after {waited:?}");
    tell(StepOutcome::Done, text);
    let ended = terminate(session, old).await?;
    // A backend that was told to end does so when it next looks.
    let left = drained(session, old, ADOPTION).await?;
    let outcome = match left {
        0 => StepOutcome::Done,
        _ => StepOutcome::Failed,
    };
    let text = format!("{ended} old sessions were ended, {left} remain");
    tell(outcome, text);
    Ok(())
}

/// Waits until the proxy uses the new version, so that clients reconnect with it.
async fn wait_for_adoption(
    secret: &SecretId,
    version: &VersionId,
    emergency: &Emergency,
    tell: &(dyn Fn(StepOutcome, String) + Sync),
) {
    let began = Instant::now();
    let (outcome, text) = loop {
        match (emergency.adopted)(secret.clone(), version.clone()).await {
            Ok(true) => {
                let ms = began.elapsed().as_millis();
                let text = format!("the proxy adopted the new version after {ms} ms");
                break (StepOutcome::Done, text);
            }
            Ok(false) if began.elapsed() < ADOPTION => sleep(PAUSE).await,
            Ok(false) => {
                let text = format!("the proxy did not adopt the new version within {ADOPTION:?}");
                break (StepOutcome::Failed, text);
            }
            Err(why) => {
                let text = format!("did not wait for a proxy to adopt the new version: {why}");
                break (StepOutcome::Skipped, text);
            }
        }
    };
    tell(outcome, text);
}

/// Waits until the sessions are gone, or for as long as `within`. Returns how
/// many are left.
async fn drained(
    session: &mut Session,
    old: Sessions<'_>,
    within: Duration,
) -> Result<usize, SqlError> {
    let deadline = Instant::now() + within;
    loop {
        let left = count(session, old).await?;
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        sleep(PAUSE).await;
    }
}

impl Sessions<'_> {
    /// The rows of pg_stat_activity, as what follows SELECT.
    fn rows(self) -> String {
        let older = self.before.map_or_else(String::new, |t| {
            format!("AND backend_start < {}::timestamptz", literal(t))
        });
        format!(
            "FROM pg_catalog.pg_stat_activity
             WHERE usename = {} AND pid <> pg_catalog.pg_backend_pid() {older}",
            literal(self.user)
        )
    }
}

/// Tells the sessions to end. Returns how many were told.
async fn terminate(session: &mut Session, old: Sessions<'_>) -> Result<usize, SqlError> {
    let sql = format!("SELECT pg_catalog.pg_terminate_backend(pid) {}", old.rows());
    let rows = session.ask("ending the old sessions", &sql).await?;
    let told = rows
        .iter()
        .filter(|row| row.first().is_some_and(|t| t == "t"));
    Ok(told.count())
}

async fn count(session: &mut Session, old: Sessions<'_>) -> Result<usize, SqlError> {
    let sql = format!("SELECT count(*) {}", old.rows());
    let count = session.value("counting the old sessions", &sql).await?;
    Ok(count.parse().unwrap_or(0))
}

/// Removes the password of a user, who cannot log in any more then.
pub async fn disable_password(session: &mut Session, user: &str) -> Result<(), SqlError> {
    let sql = format!("ALTER ROLE {} PASSWORD NULL", identifier(user));
    session
        .ask("taking the old user's password", &sql)
        .await
        .map(|_| ())
}
