//! What a client is told first: from AuthenticationOk to ReadyForQuery.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::registry::Pin;
use super::serve::Session;
use super::waits::{self, Early};
use crate::net::Stream;
use crate::pool::{CheckoutError, Database, Lease, Pool, Profile, Settings, Told};
use crate::upstream::QueryError;
use crate::wire::notice::{MIN_MESSAGES, gets_notices};
use crate::wire::startup::Startup;
use crate::wire::tag::status;
use crate::wire::{ClientError, login, message};

mod replicate;

use replicate::replicate;

/// What a session begins with after its greeting.
pub(super) enum Greeted {
    /// The settings that are to be in force on any server connection it gets, and what the
    /// client was told that the server reports.
    Pooled(Arc<Profile>, Arc<Told>),
    /// A server connection of its own, to its end.
    Dedicated(Lease),
}

/// Why a session is refused or ended.
pub(super) enum Failed {
    Client(ClientError),
    /// The server refused a setting that the client made: the error is passed on in the
    /// server's words.
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

impl Session {
    /// Sends AuthenticationOk up to ReadyForQuery. The client is asked for no password.
    /// `None`: the client has left.
    ///
    /// # Errors
    /// [`Failed`]: the client has not been told yet.
    pub async fn greet(
        &self,
        stream: &mut Stream,
        startup: &Startup,
        mut settings: Settings,
    ) -> Result<Option<(Greeted, Early)>, Failed> {
        let pool = self.pool();
        let notices = gets_notices(settings.get(MIN_MESSAGES).map(|level| &**level));
        if let Some(template) = &pool.database().application_name {
            let own = settings.get(APPLICATION_NAME).map_or("", |own| own);
            let name = application_name(template, own, &self.handle.client);
            settings.insert(APPLICATION_NAME.into(), name);
        }
        name_client(&pool.database(), &self.handle.client, &mut settings);
        let mut greeting = pin!(self.greeting(startup, settings));
        let mut notice = pin!(waits::notice(pool, self.context.wait_notice()));
        let (mut early, mut noticed, mut out) = (Early::default(), !notices, Vec::new());
        message::authentication_ok(&mut out);
        let (greeted, told) = loop {
            tokio::select! {
                biased; // mostly nothing is waited for, and then nothing is read
                greeting = &mut greeting => break greeting?,
                notice = &mut notice, if !noticed => {
                    noticed = true;
                    // Clients expect no notice before they are let in.
                    notice.write(&mut out);
                    if stream.say(&out).await.is_err() {
                        return Ok(None);
                    }
                    out.clear();
                }
                () = early.until_client_leaves(stream) => return Ok(None),
            }
        };
        out.extend_from_slice(&told.greeting);
        login::backend_key_data(&mut out, self.handle.pid.0, self.handle.key.bytes());
        message::ready_for_query(&mut out, status::IDLE);
        let sent = stream.say(&out).await;
        Ok(sent.ok().map(|()| (greeted, early)))
    }

    /// What the session begins with, and what the client is told of its server.
    async fn greeting(
        &self,
        startup: &Startup,
        settings: Settings,
    ) -> Result<(Greeted, Arc<Told>), Failed> {
        let pool = self.pool();
        let client = &self.handle.client;
        if let Some(kind) = startup.replication {
            let lease = replicate(pool, &self.quota, client, kind, &settings).await?;
            let told = pool.facts.told(lease.reported());
            self.handle.set_pin(Some(Pin::Replication));
            return Ok((Greeted::Dedicated(lease), told));
        }
        let profile = pool.profiles.intern(settings);
        let told = match pool.facts.greeting(&profile) {
            Some((told, true)) => told,
            // Boxed: rare, and large.
            _ => Box::pin(told(pool, &profile, client)).await?,
        };
        Ok((Greeted::Pooled(profile, told.clone()), told))
    }
}

/// The setting of which Postgres knows no more than its name, and that says who the client is.
const CLIENT: &str = "pgvalet.client";

/// Sets who the client is, where that is wanted: whatever the client has set itself.
pub(super) fn name_client(database: &Database, client: &Arc<str>, settings: &mut Settings) {
    if database.client_setting {
        settings.insert(CLIENT.into(), (**client).into());
    }
}

pub(super) const APPLICATION_NAME: &str = "application_name";
/// The length at which Postgres cuts an application_name (NAMEDATALEN - 1).
const MAX_APPLICATION_NAME: usize = 63;

/// The application_name that the database's template makes of a client's own. Where the
/// result is too long, the client's own name is cut, not the client's identity.
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

/// How long a client that brings values which no server has seen yet waits for a connection
/// that can say how the server writes them.
const LEARN: Duration = Duration::from_millis(100);

/// What a client is told at its login: what server connections report, and the client's own
/// settings as the server writes them. Where that is not known and no connection is free to
/// ask, they are told as the client wrote them, and corrected on its first lease.
pub(super) async fn told(
    pool: &Arc<Pool>,
    profile: &Arc<Profile>,
    client: &Arc<str>,
) -> Result<Arc<Told>, Failed> {
    loop {
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
        match learn(pool, profile, lease).await {
            Ok(()) => break,
            Err(Unlearnt::Failed(failed)) => return Err(failed),
            // Nothing of the client's is there yet: another connection will do.
            Err(Unlearnt::Closed) => {}
        }
    }
    match pool.facts.greeting(profile) {
        Some((told, _)) => Ok(told),
        None => Err(ClientError::UpstreamLost.into()),
    }
}

/// Why it is not known how the server reports what a client brings.
enum Unlearnt {
    /// The server has closed the connection.
    Closed,
    Failed(Failed),
}

impl From<QueryError> for Unlearnt {
    fn from(error: QueryError) -> Self {
        match error {
            // The query is one transaction: nothing of it was set.
            QueryError::Refused(fields) => Self::Failed(Failed::Parameter(fields)),
            QueryError::Io(_) | QueryError::Closed => Self::Closed,
            QueryError::Protocol | QueryError::Stays => {
                Self::Failed(ClientError::UpstreamLost.into())
            }
        }
    }
}

/// Sets what the client brings on a connection, to learn how the server reports it.
async fn learn(pool: &Pool, profile: &Profile, mut lease: Lease) -> Result<(), Unlearnt> {
    let set = pool.profiles.intern(profile.to_learn());
    if let Some(sql) = set.change_from(&lease.profile) {
        let limit = pool.database().upstream.connect_timeout;
        let asked = timeout(limit, lease.ask(&[&sql])).await;
        asked.map_err(|_| Unlearnt::Failed(ClientError::UpstreamLost.into()))??;
        lease.profile = set;
    } else {
        lease.ask(&[]).await?;
    }
    pool.facts.reports(&lease.profile, lease.reported());
    let settings = profile.settings();
    pool.facts.accepted(settings, lease.reported());
    Ok(())
}

pub(super) fn checkout_error(pool: &Pool, error: CheckoutError) -> ClientError {
    let database = || pool.name.clone();
    match error {
        CheckoutError::Timeout => ClientError::PoolWaitTimeout(database()),
        CheckoutError::TooManyWaiting(limit) => ClientError::TooManyWaiting {
            database: database(),
            limit,
        },
        CheckoutError::Login(failure) => ClientError::Login {
            database: database(),
            failure,
        },
        CheckoutError::NoWorkingVersion(secret, failure) => ClientError::NoWorkingVersion {
            secret: secret.as_str().into(),
            failure,
        },
        CheckoutError::SecretUnusable(s) => ClientError::SecretUnusable(s.as_str().into()),
        CheckoutError::Paused => ClientError::Paused(database()),
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
