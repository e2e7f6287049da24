//! `pgvalet init`: writes a first configuration, and the secrets that go with it.
//!
//! * `plan`       what is to be written, and its text
//! * `ask`        from the answers of a person
//! * `postgres`   from a Postgres that runs
//! * `pgbouncer`  from the files of PgBouncer

mod ask;
pub mod pgbouncer;
mod plan;
mod postgres;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, files, online, record, stores, table};
use crate::config::{self, Config};
use crate::secret::{NewSecret, SecretId, StoreError, Which};
use crate::server;
use plan::{Plan, Stored};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  pgvalet init\n  \
    pgvalet init --from postgres://app@db.example.org/orders\n  \
    pgvalet init --from /etc/pgbouncer/pgbouncer.ini --config /etc/pgvalet/pgvalet.toml\n\n\
    A password is asked for, or read from PGPASSWORD; from PgBouncer, passwords come out of the\n\
    configuration and auth_file. They go into the store, not into the file.\n\
    docs/FROM-PGBOUNCER.md says what becomes of each key of PgBouncer")]
pub(super) struct Args {
    /// A Postgres that runs, as postgres://USER@HOST:PORT/DATABASE, or a pgbouncer.ini
    #[arg(long, value_name = "URL|FILE")]
    from: Option<String>,
    /// The users and passwords of PgBouncer [default: what auth_file says]
    #[arg(long, value_name = "FILE", requires = "from")]
    userlist: Option<PathBuf>,
    /// Replace the configuration that there is
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    if !args.force && file.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already; --force replaces it, and --config names another",
            file.display()
        )));
    }
    super::block_on(make(args, file, out))
}

async fn make(args: &Args, file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let plan = match args.from.as_deref() {
        None => ask::plan(&mut io::stdin().lock(), out)?,
        Some(url) if is_url(url) => postgres::plan(url, out).await?,
        Some(ini) => pgbouncer::plan(Path::new(ini), args.userlist.as_deref())?,
    };
    let text = plan.text();
    // What it has made itself, it has to be able to read.
    let config = config::parse(&text, file).map_err(|e| Failure::Failed(e.to_string()))?;
    write_file(file, &text, args.force)?;
    writeln!(out, "\nwrote {}", file.display())?;
    store(&plan, &config, out).await?;
    for note in &plan.notes {
        table::paragraph(out, "- ", note)?;
    }
    let found = verify(file, &config, out).await?;
    next(file, &plan, &found, out)?;
    match found {
        Found::Wrong => Err(Failure::Shown),
        Found::Well | Found::NoStore => Ok(()),
    }
}

/// What a check of the new configuration has found.
enum Found {
    Well,
    Wrong,
    /// There is no password yet, and so no store.
    NoStore,
}

fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

/// Writes the file, which no other user needs to read. Without `force` it is not there yet, and
/// must not appear in between.
fn write_file(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let unwritten = |e: io::Error| {
        let file = file.display();
        Failure::Failed(format!("{file} cannot be written: {e}"))
    };
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(unwritten)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).mode(0o640);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut opened = options.open(file).map_err(unwritten)?;
    opened.write_all(text.as_bytes()).map_err(unwritten)
}

/// Puts the secrets into the store. One that is there already is left as it is.
async fn store(plan: &Plan, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let values = plan.secrets.iter().filter(|s| s.value.is_some());
    if values.count() == 0 {
        return Ok(());
    }
    let audit = record::open(config, "cli", "the command")?;
    let opened = server::open_stores(&config.stores, &record::trail(audit.as_ref())).await;
    let store = opened.and_then(|stores| stores.named(None));
    let store = store.map_err(|e| Failure::Failed(e.to_string()))?;
    for secret in &plan.secrets {
        put(secret, &*store, out).await?;
    }
    drop(store);
    if let Some(audit) = audit {
        audit.close().await;
    }
    Ok(())
}

async fn put(
    secret: &Stored,
    store: &dyn crate::secret::SecretStore,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let Some(value) = &secret.value else {
        return Ok(());
    };
    let name = &secret.name;
    let new = NewSecret {
        name: name.clone(),
        description: None,
        value: value.clone(),
        token: None,
    };
    let manage = store.manage().map_err(|e| Failure::Failed(e.to_string()))?;
    match manage.create(new).await {
        Ok(_) => writeln!(out, "stored the secret {name}")?,
        Err(StoreError::Exists(_)) => {
            let there = store
                .get(&SecretId::new(name.as_str()), &Which::current())
                .await;
            match there.is_ok_and(|there| *there.value == **value) {
                true => writeln!(out, "the secret {name} is there already, with this value")?,
                false => writeln!(
                    out,
                    "left the secret {name} as it is: it is there already, with another value; `pgvalet secret put {name}` replaces it"
                )?,
            }
        }
        Err(error) => return Err(Failure::Failed(error.to_string())),
    }
    Ok(())
}

/// Checks what was written, as `pgvalet check` does, and says only what is wrong and which
/// credential logs in.
async fn verify(file: &Path, config: &Config, out: &mut dyn Write) -> Result<Found, Failure> {
    let mut found = Found::Well;
    for warning in config::warnings(config) {
        table::paragraph(out, "warning: ", &warning)?;
    }
    for problem in files::problems(config) {
        found = Found::Wrong;
        table::paragraph(out, "problem: ", &problem)?;
    }
    // There is no store yet where no password was given.
    if stores::exist(config, &stores::used(config)).is_err() {
        return Ok(Found::NoStore);
    }
    writeln!(out)?;
    match online::online(config, out).await {
        Ok(()) => Ok(found),
        Err(Failure::Shown) => Ok(Found::Wrong),
        Err(error) => {
            writeln!(out, "{}: {error}", file.display())?;
            Ok(Found::Wrong)
        }
    }
}

/// What to do now.
fn next(file: &Path, plan: &Plan, found: &Found, out: &mut dyn Write) -> Result<(), Failure> {
    let option = match file == Path::new("config/pgvalet.toml") {
        true => String::new(),
        false => format!(" --config {}", file.display()),
    };
    writeln!(out, "\nNext:")?;
    let missing = plan.secrets.iter().filter(|s| s.value.is_none());
    for secret in missing {
        writeln!(
            out,
            "  pgvalet secret create {}{option}    # {}",
            secret.name, secret.missing
        )?;
    }
    if !matches!(found, Found::Well) {
        writeln!(out, "  pgvalet check{option}")?;
    }
    writeln!(out, "  pgvalet run{option}")?;
    if let (Some(database), Some(port)) = (plan.databases.first(), plan.port) {
        let name = &database.name;
        writeln!(
            out,
            "  psql -h 127.0.0.1 -p {port} -d {name}    # without a password"
        )?;
    }
    Ok(())
}
