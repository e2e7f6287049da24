//! From the start-up packet to the first ReadyForQuery that a client sees.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::pool::{CheckoutError, DedicatedError, Lease, Pool, Profile, Settings, Told};
use crate::upstream::{ConnectError, QueryError};
use crate::wire::startup::{Replication, Startup};
use crate::wire::{ClientError, message};

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

/// The settings of a start-up packet: its parameters, and those inside
/// `options`.
///
/// # Errors
/// Parameters that would change who the client is.
pub(super) fn settings(startup: &Startup) -> Result<Settings, ClientError> {
    let mut settings = Settings::new();
    for (name, value) in &startup.parameters {
        if name.eq_ignore_ascii_case("options") {
            for (name, value) in options(value)? {
                add(&mut settings, &name, &value)?;
            }
        } else {
            add(&mut settings, name, value)?;
        }
    }
    Ok(settings)
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

fn add(settings: &mut Settings, name: &str, value: &str) -> Result<(), ClientError> {
    let valid = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if !valid {
        return Err(ClientError::BadParameter(
            "a start-up parameter has an invalid name".into(),
        ));
    }
    let name = name.to_ascii_lowercase();
    // The upstream user and role come from policy and secret alone.
    if matches!(name.as_str(), "role" | "session_authorization") {
        return Err(ClientError::BadParameter(format!(
            "parameter \"{name}\" cannot be set at start-up"
        )));
    }
    settings.insert(name.into(), value.into());
    Ok(())
}

/// The command-line switches that Postgres accepts in `options`: `-c
/// name=value` and `--name=value`. A backslash takes the next character
/// literally (pg_split_opts).
fn options(text: &str) -> Result<Vec<(String, String)>, ClientError> {
    let bad =
        || ClientError::BadParameter("options may hold only -c name=value and --name=value".into());
    let mut words: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_ascii_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            word.push(if c == '\\' {
                chars.next().ok_or_else(bad)?
            } else {
                c
            });
        }
        words.push(word);
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(bad)?
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            return Err(bad());
        };
        let (name, value) = setting.split_once('=').ok_or_else(bad)?;
        // As Postgres does: dashes stand for underscores.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
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
        let limit = pool.database.connect_timeout;
        match timeout(limit, lease.ask(&[&sql])).await {
            Ok(Ok(_)) => {}
            // The query is one transaction: nothing of it was set.
            Ok(Err(QueryError::Refused(fields))) => return Err(Failed::Parameter(fields)),
            Ok(Err(_)) | Err(_) => return Err(ClientError::UpstreamLost.into()),
        }
        lease.profile = set;
    } else if !matches!(lease.ask(&[]).await, Ok(_)) {
        return Err(ClientError::UpstreamLost.into());
    }
    pool.facts.reports(&lease.profile, &lease.server.reported);
    let settings = profile.settings();
    pool.facts.accepted(settings, &lease.server.reported);
    Ok(())
}

/// Logs in for a client that replicates: its own connection, its own start-up
/// parameters.
pub(super) async fn replicate(
    pool: &Arc<Pool>,
    kind: Replication,
    settings: &Settings,
) -> Result<Lease, Failed> {
    let own = ("replication".to_owned(), kind.as_str().to_owned());
    let settings = settings.iter().map(|(n, v)| (n.to_string(), v.to_string()));
    let parameters = std::iter::once(own).chain(settings).collect();
    let error = match pool.dedicated(parameters).await {
        Ok(lease) => return Ok(lease),
        Err(DedicatedError::Checkout(e)) => return Err(checkout_error(pool, e).into()),
        Err(DedicatedError::Login(error)) => error,
    };
    let database = pool.database.name.clone();
    Err(match error {
        ConnectError::Refused {
            sqlstate, message, ..
        } => match sqlstate.as_str() {
            "42501" => ClientError::ReplicationRole(database).into(),
            "28000" => ClientError::ReplicationHba(database).into(),
            // Invalid or unknown parameters: those are the client's.
            "22023" | "42704" => Failed::Parameter(message::ErrorFields {
                sqlstate,
                message,
                ..Default::default()
            }),
            _ => ClientError::UpstreamRefused {
                database,
                sqlstate: sqlstate.into(),
            }
            .into(),
        },
        _ => ClientError::UpstreamDown(database).into(),
    })
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

    fn with(parameters: &[(&str, &str)]) -> Startup {
        Startup {
            parameters: parameters
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            ..Startup::default()
        }
    }

    /// Its client would wait for ever, and the pool would have a place less.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_does_not_answer_ends_the_greeting() {
        let s = setup("pool_size = 1\nconnect_timeout = \"200ms\"").await;
        s.server
            .mute
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let settings = settings(&with(&[("timezone", "UTC")])).unwrap();
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

    #[test]
    fn options_are_settings() {
        let s = settings(&with(&[
            ("DateStyle", "ISO"),
            (
                "options",
                r"-c search_path=a,\ b --statement-timeout=5s  -cwork_mem=4MB",
            ),
        ]))
        .unwrap();
        let expected = [
            ("datestyle", "ISO"),
            ("search_path", "a, b"),
            ("statement_timeout", "5s"),
            ("work_mem", "4MB"),
        ];
        assert_eq!(
            s.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn nobody_becomes_somebody_else_at_start_up() {
        for parameters in [
            [("role", "postgres")],
            [("ROLE", "postgres")],
            [("options", "-c role=postgres")],
            [("options", "-c session_authorization=postgres")],
            [("options", "--session-authorization=postgres")],
            [("options", "-d 5")],
            [("options", "-c")],
            [("a b", "c")],
        ] {
            assert!(settings(&with(&parameters)).is_err(), "{parameters:?}");
        }
    }
}
