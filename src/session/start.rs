//! From the start-up packet to the first ReadyForQuery that a client sees.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::pool::{CheckoutError, Lease, Pool, Profile, Told};
use crate::upstream::QueryError;
use crate::wire::{ClientError, message};

mod replicate;
mod settings;

pub(super) use replicate::replicate;
pub(super) use settings::settings;

/// Why a session did not start.
pub(super) enum Failed {
    Client(ClientError),
    /// The server refused a start-up parameter: its words are about the
    /// client's own.
    Parameter(message::ErrorFields),
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Failed {
    pub fn fatal(&self, out: &mut Vec<u8>) {
        match self {
            Self::Client(error) => error.fatal(out),
            Self::Parameter(f) => {
                message::error_response(out, "FATAL", &f.sqlstate, &f.message, None);
            }
        }
    }

    pub fn reason(&self) -> String {
        match self {
            Self::Client(error) => error.to_string(),
            Self::Parameter(fields) => fields.message.clone(),
        }
    }

    pub fn sqlstate(&self) -> &str {
        match self {
            Self::Client(error) => error.sqlstate().0,
            Self::Parameter(fields) => &fields.sqlstate,
        }
    }
}

/// Postgres cuts it there (NAMEDATALEN - 1).
const MAX_APPLICATION_NAME: usize = 63;

/// The application_name that the database's template makes of a client's own;
/// what is too long is cut off that, not off the client's identity.
pub(super) fn application_name(template: &str, own: &str, client: &str) -> Box<str> {
    let frame = template
        .replace("{client}", client)
        .replace("{application_name}", "");
    let mut own = own;
    let room = MAX_APPLICATION_NAME.saturating_sub(frame.len());
    while own.len() > room {
        own = &own[..own.len() - own.chars().next_back().map_or(1, char::len_utf8)];
    }
    // The client's name last: it may not hold what looks like a placeholder.
    let named = template.replace("{application_name}", own);
    named.replace("{client}", client).trim().into()
}

/// How long a client that brings values which no server has seen yet waits for a
/// connection that could say how it calls them.
const LEARN: Duration = Duration::from_millis(100);

/// What a client is told at its login: what server connections report, and its
/// own settings in the server's words. Where those are not known and no
/// connection is free to ask, in its own words; it is told better on its first
/// lease.
pub(super) async fn told(
    pool: &Arc<Pool>,
    profile: &Arc<Profile>,
    client: &Arc<str>,
) -> Result<Arc<Told>, Failed> {
    let lease = match pool.facts.greeting(profile) {
        Some((told, true)) => return Ok(told),
        Some((told, false)) => match timeout(LEARN, pool.checkout(Some(client))).await {
            Ok(Ok(lease)) => lease,
            _ => return Ok(told),
        },
        None => {
            let lease = pool.checkout(Some(client)).await;
            lease.map_err(|e| checkout_error(pool, e))?
        }
    };
    learn(pool, profile, lease).await?;
    match pool.facts.greeting(profile) {
        Some((told, _)) => Ok(told),
        None => Err(ClientError::UpstreamLost.into()),
    }
}

/// Sets what the client brings, but for its time limits, under which nothing else
/// could be asked.
async fn learn(pool: &Pool, profile: &Profile, mut lease: Lease) -> Result<(), Failed> {
    let set = pool.profiles.intern(profile.without_limits());
    if let Some(sql) = set.change_from(&lease.profile) {
        let limit = pool.database.upstream.connect_timeout;
        match timeout(limit, lease.ask(&[&sql])).await {
            Ok(Ok(_)) => {}
            // The query is one transaction: nothing of it was set.
            Ok(Err(QueryError::Refused(fields))) => return Err(Failed::Parameter(fields)),
            Ok(Err(_)) | Err(_) => return Err(ClientError::UpstreamLost.into()),
        }
        lease.profile = set;
    } else if lease.ask(&[]).await.is_err() {
        return Err(ClientError::UpstreamLost.into());
    }
    pool.facts.reports(&lease.profile, lease.reported());
    let settings = profile.settings();
    pool.facts.accepted(settings, lease.reported());
    Ok(())
}

pub(super) fn checkout_error(pool: &Pool, error: CheckoutError) -> ClientError {
    let database = || pool.database.name.clone();
    match error {
        CheckoutError::Timeout => ClientError::PoolWaitTimeout(database()),
        CheckoutError::Down => ClientError::UpstreamDown(database()),
        CheckoutError::Refused(sqlstate) => ClientError::UpstreamRefused {
            database: database(),
            sqlstate,
        },
        CheckoutError::NoWorkingVersion(s) => ClientError::NoWorkingVersion(s.as_str().into()),
        CheckoutError::SecretUnusable(s) => ClientError::SecretUnusable(s.as_str().into()),
        CheckoutError::Shut => ClientError::ShuttingDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::fake::setup;

    /// Its client would wait for ever, and the pool would have a place less.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_does_not_answer_ends_the_greeting() {
        let s = setup("pool_size = 1\nconnect_timeout = \"200ms\"").await;
        s.server
            .mute
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let settings = [("timezone".into(), "UTC".into())].into();
        let profile = s.pool.profiles.intern(settings);
        let client = Arc::from("c");
        let answer = timeout(Duration::from_secs(10), told(&s.pool, &profile, &client));
        let failed = answer.await.expect("an end").err().expect("no answer");
        assert_eq!(failed.sqlstate(), "08006");
    }

    #[test]
    fn the_application_name_shows_the_client() {
        let named = |own| application_name("{application_name} [{client}]", own, "orders-api");
        assert_eq!(&*named("psql"), "psql [orders-api]");
        assert_eq!(&*named(""), "[orders-api]");
        let long = named(&"ä".repeat(40));
        assert_eq!(long.len(), 63);
        assert!(long.ends_with(" [orders-api]"));
    }
}
