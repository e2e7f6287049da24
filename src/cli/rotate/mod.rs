//! `pgvalet rotate`.

mod preview;
mod progress;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, record, status, stores};
use crate::audit::Audit;
use crate::base::{duration, nearest};
use crate::config::Config;
use crate::pool::Database;
use crate::rotation::{Emergency, Ending, PATIENCE, Plan, RotationError, Rotator, Strategy};
use crate::secret::{SecretId, Source, StoreError, VersionId};
use progress::Progress;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  pgvalet rotate prod/orders\n  \
    pgvalet rotate prod/orders --strategy alternating --admin-secret prod/admin\n  \
    pgvalet rotate --dry-run\n  \
    pgvalet rotate prod/orders --now --terminate-old      the password has leaked")]
pub(super) struct Args {
    /// Name or ARN of a secret that a [database.NAME] uses
    #[arg(required_unless_present = "dry_run")]
    secret: Option<String>,
    /// Change the password of one user, or alternate between two; else as configured
    #[arg(long, value_parser = Strategy::ALL.map(|(word, _)| word))]
    strategy: Option<String>,
    /// The secret of the role that changes the others; else as configured
    #[arg(long, value_name = "NAME")]
    admin_secret: Option<String>,
    /// Rotate even if another rotator does so at the same time
    #[arg(long)]
    now: bool,
    /// End the sessions that logged in with the old password
    #[arg(long)]
    terminate_old: bool,
    /// How long these sessions may take to end by themselves
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    drain: Duration,
    /// Change nothing: show what would be done, and when the next rotations are
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let named = args.secret.as_deref();
    let named: Vec<SecretId> = named.map(|n| config.stores.secret(n)).into_iter().collect();
    stores::exist(config, &named)?;
    let audit = record::open(config, "rotate", "the rotation")?;
    let done = work(args, config, audit.as_ref(), out).await;
    if let Some(audit) = audit {
        audit.close().await;
    }
    done
}

async fn work(
    args: &Args,
    config: &Config,
    audit: Option<&Audit>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let stores = stores::open(config, &[], audit).await?;
    if args.dry_run {
        return preview::run(args, config, &stores, out).await;
    }
    let secret = args.secret.as_deref().unwrap_or_default();
    let secret = config.stores.secret(secret);
    let store = stores.of(&secret)?;
    let store = store.rotatable()?;
    let plan = plan(args, config, &stores, &secret).await?;
    let progress = Progress::new(args.json, audit.cloned());
    let ended = Rotator::new(store, &stores, &progress, &plan)
        .rotate()
        .await;
    let ending = ended.map_err(|e| {
        let said = format!("{secret} was not rotated: {e}");
        match e {
            // The secret that was asked for, and not the one that administers it.
            RotationError::Store(StoreError::NotFound(what)) if what.contains(secret.as_str()) => {
                Failure::Usage(said)
            }
            _ => Failure::Failed(said),
        }
    })?;
    progress.end(&ending);
    let version = ending.version();
    match (args.json, &ending) {
        (true, _) => {}
        (false, Ending::Rotated(_)) => writeln!(out, "{version}")?,
        (false, Ending::Elsewhere(_)) => {
            writeln!(
                out,
                "another rotator was faster; nothing was changed here\n{version}"
            )?;
        }
    }
    Ok(())
}

/// What to rotate and how: as the arguments say, or else as the configuration of the database does.
async fn plan(
    args: &Args,
    config: &Config,
    store: &dyn Source,
    secret: &SecretId,
) -> Result<Plan, Failure> {
    let database = database(config, store, secret).await?;
    let configured = config.rotation(&database).cloned();
    let asked = args.strategy.as_deref();
    let asked = Strategy::ALL
        .into_iter()
        .find(|(word, _)| Some(*word) == asked);
    let strategy = match asked {
        Some((_, strategy)) => Some(strategy),
        None => configured.as_ref().and_then(|r| r.strategy),
    };
    let admin_secret = match &args.admin_secret {
        Some(name) => Some(config.stores.secret(name)),
        None => configured.as_ref().and_then(|r| r.admin_secret.clone()),
    };
    let canary = configured.as_ref().map_or(0, |r| r.canary);
    let plaintext = configured.is_some_and(|r| r.plaintext);
    let emergency = args.terminate_old.then(|| Emergency {
        drain: args.drain,
        adopted: adoption(config),
    });
    Ok(Plan {
        secret: secret.clone(),
        strategy,
        admin_secret,
        admin_secrets: config.admin_secrets.clone(),
        plaintext,
        canary,
        database: database.upstream.clone(),
        insist: args.now,
        instead_of: None,
        patience: PATIENCE,
        emergency,
    })
}

/// The database that uses the secret. A role belongs to one server: databases that lead to
/// several servers with one secret cannot be rotated together.
async fn database(
    config: &Config,
    store: &dyn Source,
    secret: &SecretId,
) -> Result<Arc<Database>, Failure> {
    let mut found: Vec<Arc<Database>> = Vec::new();
    let uses = config.uses();
    let written = uses.iter().any(|(_, s)| s == secret);
    // The argument may be the name where the configuration has the ARN, and the reverse.
    let described = match written {
        true => None,
        false => {
            let described = store.describe(secret).await;
            Some(described.map_err(|e| match e {
                StoreError::NotFound(why) => {
                    Failure::Usage(format!("{why}{}", meant(config, secret)))
                }
                other => other.into(),
            })?)
        }
    };
    for (database, used) in uses {
        let same = match &described {
            Some(d) => used.store() == secret.store() && used.means(&d.name, &d.arn),
            None => used == *secret,
        };
        if same {
            found.push(database);
        }
    }
    // A database that says how to rotate goes first.
    found.sort_by_key(|d| config.rotation(d).is_none());
    let place = |d: &Database| (d.upstream.host.clone(), d.upstream.port);
    let Some(first) = found.first().cloned() else {
        return Err(Failure::Usage(format!(
            "no [database.NAME] uses secret \"{secret}\", so nothing says how to log in to its server; add one{}",
            meant(config, secret)
        )));
    };
    match found.iter().find(|d| place(d) != place(&first)) {
        None => Ok(first),
        Some(other) => Err(Failure::Usage(format!(
            "[database.{}] and [database.{}] use secret \"{secret}\" on different servers; a password can be rotated on one server only",
            first.name(),
            other.name()
        ))),
    }
}

/// The end of a sentence about a secret that is not there: the one of the configuration that was
/// probably meant.
fn meant(config: &Config, secret: &SecretId) -> String {
    let used = stores::used(config);
    let names = used.iter().map(SecretId::as_str);
    let meant = nearest(secret.as_str(), names);
    meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"))
}

/// A function that asks the running proxy whether it uses a version.
fn adoption(
    config: &Config,
) -> Arc<dyn Fn(SecretId, VersionId) -> crate::rotation::Adopted + Send + Sync> {
    let config = config.clone();
    Arc::new(move |secret, version| {
        let config = config.clone();
        Box::pin(async move {
            let status = status::ask(&config).await.map_err(|e| e.to_string())?;
            let mut of_secret = status
                .databases
                .iter()
                .filter(|d| *d.secret == *secret.as_str());
            Ok(of_secret.all(|d| {
                let newest = d.generations.first();
                newest.is_some_and(|g| *g.version == *version.as_str())
            }))
        })
    })
}
