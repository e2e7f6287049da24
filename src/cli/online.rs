//! The part of `pgvalet check` that asks others: does the store answer, and does
//! each credential log in?

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use super::{Failure, record, stores, table};
use crate::audit::{Audit, CredentialRef, Record, ServerRef};
use crate::config::Config;
use crate::pool::{Database, try_share};
use crate::secret::{AWSPENDING, Credential, SecretId, Source, StoreError, Stores, Which};
use crate::upstream::{self, LoginCache, Server, Target};

/// What came of a credential, or what is doubtful about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    Warning,
    Failed,
}

impl Outcome {
    /// What stands in front of the line.
    fn head(self) -> &'static str {
        match self {
            Self::Ok => "ok       ",
            Self::Warning => "warning  ",
            Self::Failed => "FAILED   ",
        }
    }
}

/// What there is to say of a database.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub outcome: Outcome,
    database: Arc<str>,
    said: String,
}

/// Tries every (database, secret) that a rule can lead to, and says what comes of it. Changes
/// nothing.
pub(super) async fn online(config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let mut failed = false;
    let mut say = |said: Said| {
        failed |= said.outcome == Outcome::Failed;
        let text = format!("{}: {}", said.database, said.said);
        table::paragraph(out, said.outcome.head(), &text)
    };
    each(config, &mut say).await?;
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

type Say<'a> = dyn FnMut(Said) -> io::Result<()> + 'a;

/// Tries every (database, secret) that a rule can lead to. Changes nothing.
pub(super) async fn each(config: &Config, say: &mut Say<'_>) -> Result<(), Failure> {
    let used = stores::used(config);
    stores::exist(config, &used)?;
    let audit = record::open(config, "cli", "the check")?;
    let stores = stores::open(config, &used, audit.as_ref()).await?;
    let asked = ask(config, &stores, audit.as_ref(), say).await;
    drop(stores);
    if let Some(audit) = audit {
        audit.close().await;
    }
    Ok(asked?)
}

async fn ask(
    config: &Config,
    stores: &Stores,
    audit: Option<&Audit>,
    say: &mut Say<'_>,
) -> io::Result<()> {
    for (database, secret) in config.uses() {
        let Ok(store) = stores.of(&secret) else {
            continue;
        };
        let mut say = |outcome, said| {
            say(Said {
                outcome,
                database: database.name().clone(),
                said,
            })
        };
        // A configured rotation that the store cannot carry out is an error of the
        // configuration, even where everything else is right.
        if config.rotation(&database).is_some()
            && let Err(why) = store.rotatable()
        {
            let said = format!("rotation is configured, but {why}");
            say(Outcome::Failed, said)?;
        }
        if let Some(rotation) = config.rotation(&database)
            && rotation.canary > 1
            && store.changes().is_none()
        {
            let said = format!(
                "rotation = {{ canary = {} }} is not possible: {} does not tell replicas of changes at once, and there is no other way between them; write canary = 1, which is the replica that rotates",
                rotation.canary,
                store.name()
            );
            say(Outcome::Failed, said)?;
        }
        match login(&*store, &database, &secret, audit).await {
            Ok(login) => {
                say(Outcome::Ok, login.said.clone())?;
                if let Some(why) = no_share(&database, login).await {
                    say(Outcome::Failed, why)?;
                }
                let doubts = [pending_denied(&*store, &secret).await, store.doubt(&secret)];
                for why in doubts.into_iter().flatten() {
                    say(Outcome::Warning, why)?;
                }
            }
            Err(NoLogin::Refused(why) | NoLogin::Unknown(why)) => say(Outcome::Failed, why)?,
        }
    }
    Ok(())
}

/// Why AWSPENDING could not be read if there were one; `None` where it could.
/// Without it, clients wait in the middle of a rotation: the password has
/// changed, and AWSCURRENT has not moved yet.
async fn pending_denied(store: &dyn Source, secret: &SecretId) -> Option<String> {
    let pending = Which::Stage(AWSPENDING.to_owned());
    match store.get(secret, &pending).await {
        Err(StoreError::Denied(why)) => Some(format!(
            "AWSPENDING of secret \"{secret}\" may not be read ({why}); allow secretsmanager:GetSecretValue for every stage, or clients wait in the middle of a rotation"
        )),
        _ => None,
    }
}

/// What became of the credentials that are tried, each with its database.
#[derive(Default)]
pub(super) struct Asked {
    /// The server judged these, and refused them.
    pub refused: Vec<String>,
    /// These could not be tried.
    pub unknown: Vec<String>,
}

/// Tries which credentials the servers refuse, of every (database, secret) that a rule
/// can lead to.
pub(super) async fn refused(config: &Config) -> Result<Asked, Failure> {
    let audit = record::open(config, "cli", "the check")?;
    let stores = stores::open(config, &[], audit.as_ref()).await?;
    let mut asked = Asked::default();
    for (database, secret) in config.uses() {
        let (list, why) = match login(&stores, &database, &secret, audit.as_ref()).await {
            Ok(login) => {
                login.end().await;
                continue;
            }
            Err(NoLogin::Refused(why)) => (&mut asked.refused, why),
            Err(NoLogin::Unknown(why)) => (&mut asked.unknown, why),
        };
        list.push(format!("{}: {why}", database.name()));
    }
    drop(stores);
    if let Some(audit) = audit {
        audit.close().await;
    }
    Ok(asked)
}

/// A credential has logged in.
struct Login {
    server: Server,
    role: String,
    /// How that went.
    said: String,
    /// Where the login is recorded, and as what.
    recorded: Option<(Audit, Tried)>,
}

impl Login {
    /// Ends the session.
    async fn end(self) {
        self.server.close().await;
        if let Some((audit, tried)) = self.recorded {
            audit.record(tried.close());
        }
    }
}

/// Ends the session. Before that, it tries whether a share of `fleet_size` could be kept by one
/// like it, where there is one: what is in the way.
async fn no_share(database: &Database, mut login: Login) -> Option<String> {
    let tried = match database.fleet_size {
        Some(_) => try_share(&mut login.server, database.name(), &login.role).await,
        None => Ok(()),
    };
    let role = login.role.clone();
    login.end().await;
    let why = tried.err()?;
    let remedy = why.remedy(&role);
    Some(format!(
        "fleet_size: no share can be kept, because {why}; {remedy}"
    ))
}

/// Why a credential does not log in.
enum NoLogin {
    /// The server judged it.
    Refused(String),
    Unknown(String),
}

/// Logs in with AWSCURRENT of a secret, and records that as the proxy does: Postgres's log has it.
/// What it says begins with the secret and its version.
async fn login(
    store: &dyn Source,
    database: &Database,
    secret: &SecretId,
    audit: Option<&Audit>,
) -> Result<Login, NoLogin> {
    let found = store.get(secret, &Which::current()).await;
    let value = found.map_err(|e| NoLogin::Unknown(format!("secret \"{secret}\": {e}")))?;
    let version = format!("secret \"{secret}\", version {}", value.version);
    let failed = |e: &dyn Display| NoLogin::Unknown(format!("{version}: {e}"));
    let credential = Credential::parse(secret, &value).map_err(|e| failed(&e))?;
    let target = Target::resolve(&database.upstream, &credential).map_err(|e| failed(&e))?;
    let target = Arc::new(target);
    let server = upstream::connect(
        &target,
        &credential,
        &LoginCache::default(),
        database.upstream.connect_timeout,
    )
    .await
    .map_err(|e| match e.is_authentication() {
        true => NoLogin::Refused(format!("{version}: {e}")),
        false => failed(&e),
    })?;
    let said = format!(
        "{version}, logs in to {target} as \"{}\" ({}, {})",
        credential.username,
        server.mechanism,
        server.tls_version().unwrap_or("no TLS")
    );
    let tried = Tried {
        database: database.name().clone(),
        credential: CredentialRef {
            secret: secret.as_str().into(),
            arn: credential.arn.clone(),
            version: value.version.as_str().into(),
            stages: value.stages.clone(),
            user: credential.username.as_str().into(),
        },
        server: place(&server),
    };
    if let Some(audit) = audit {
        audit.record(tried.open(server.mechanism));
    }
    let role = credential.username.clone();
    let recorded = audit.map(|audit| (audit.clone(), tried));
    Ok(Login {
        server,
        role,
        said,
        recorded,
    })
}

/// A login as records name it.
struct Tried {
    database: Arc<str>,
    credential: CredentialRef,
    server: ServerRef,
}

impl Tried {
    fn open(&self, mechanism: &str) -> Record {
        let (database, credential) = (self.database.clone(), self.credential.clone());
        Record::server_open(database, credential, self.server.clone(), mechanism)
    }

    fn close(&self) -> Record {
        let (database, credential) = (self.database.clone(), self.credential.clone());
        Record::server_close(database, credential, self.server.clone(), "checked")
    }
}

fn place(server: &Server) -> ServerRef {
    let backend = &server.backend;
    ServerRef {
        host: backend.target.host.clone(),
        port: backend.target.port,
        pid: Some(backend.pid.0),
    }
}
