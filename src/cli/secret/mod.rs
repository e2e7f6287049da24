//! `pgvalet secret`: the secrets of the configured store, whichever kind it is.
//!
//! A value comes from a file or from standard input, never from an argument:
//! every process of the machine can see arguments.

mod arguments;
mod error;
mod on_stores;
mod output;
mod policy;
mod steps;
#[cfg(test)]
mod tests;
mod value;
mod versions;

use std::io::{self, IsTerminal, Read, Write};

pub use arguments::{SecretArgs, SecretCommand};
pub use error::SecretCommandError;
pub(super) use on_stores::on_stores;
pub(super) use output::time;

use crate::base::nearest;
use crate::secret::{Description, SecretId, SecretStore, StoreError, Stores, store_title};

/// Where a command reads and writes.
struct Io<'a> {
    input: &'a mut dyn Read,
    input_is_terminal: bool,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Runs a command on standard input, output and error. `id`: the secret that the command names.
pub async fn run(
    command: SecretCommand,
    id: Option<SecretId>,
    store: &dyn SecretStore,
) -> Result<(), SecretCommandError> {
    let mut input = io::stdin();
    let input_is_terminal = input.is_terminal();
    let io = Io {
        input: &mut input,
        input_is_terminal,
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    execute(command, id, store, io).await
}

/// Lists the secrets of several stores. What a store cannot tell is said on standard error.
pub async fn list_all(command: &SecretCommand, stores: &Stores) -> Result<(), SecretCommandError> {
    let mut all = Vec::new();
    for (name, store) in stores.all() {
        match store.list().await {
            Ok(listed) => all.extend(listed.into_iter().map(|secret| {
                Description {
                    name: SecretId::of_store(name.as_deref(), &secret.name)
                        .as_str()
                        .into(),
                    ..secret
                }
            })),
            Err(why) => {
                let title = store_title(name.as_deref());
                writeln!(io::stderr(), "{title}: {why}").map_err(SecretCommandError::Write)?;
            }
        }
    }
    let text = match command {
        SecretCommand::List { json: true } => output::list_json(&all),
        _ => output::list(&all),
    };
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes());
    written
        .and_then(|()| out.flush())
        .map_err(SecretCommandError::Write)
}

async fn execute(
    command: SecretCommand,
    id: Option<SecretId>,
    store: &dyn SecretStore,
    mut io: Io<'_>,
) -> Result<(), SecretCommandError> {
    // A command without a secret does not look at it.
    let id = id.unwrap_or_else(|| SecretId::new(""));
    match answer(command, &id, store, &mut io).await {
        Err(SecretCommandError::Store(StoreError::NotFound(why))) => {
            let end = nearest_in(store, &id).await;
            Err(StoreError::NotFound(format!("{why}{end}")).into())
        }
        done => done,
    }
}

/// The end of a sentence about a secret that is not there: the one that was probably meant.
async fn nearest_in(store: &dyn SecretStore, id: &SecretId) -> String {
    // A store that lists nothing has nothing to offer.
    let listed = store.list().await.unwrap_or_default();
    let names = listed.iter().map(|secret| &*secret.name);
    match nearest(id.within(), names) {
        Some(meant) if meant != id.within() => format!("; did you mean \"{}\"?", id.beside(meant)),
        _ => String::new(),
    }
}

async fn answer(
    command: SecretCommand,
    id: &SecretId,
    store: &dyn SecretStore,
    io: &mut Io<'_>,
) -> Result<(), SecretCommandError> {
    let text = match command {
        SecretCommand::Create(args) => steps::create(args, id, store.manage()?, io).await?,
        SecretCommand::Put(args) => steps::put(args, id, store.rotatable()?, io).await?,
        SecretCommand::Get(args) if args.reveal => {
            let found = steps::get(args, id, store).await?;
            return output::reveal(io.out, &found.value).map_err(SecretCommandError::Write);
        }
        SecretCommand::Get(args) if args.json => {
            output::version_json(&steps::get(args, id, store).await?)
        }
        SecretCommand::Get(args) => output::version(&steps::get(args, id, store).await?),
        SecretCommand::List { json: true } => output::list_json(&store.list().await?),
        SecretCommand::List { json: false } => output::list(&store.list().await?),
        SecretCommand::Describe { all, json, .. } => steps::describe(id, all, json, store).await?,
        SecretCommand::Stage(args) => steps::stage(args, id, store.rotatable()?).await?,
        SecretCommand::Random(options) => {
            let password = store.rotatable()?.random_password(options.into()).await?;
            return output::reveal(io.out, &password).map_err(SecretCommandError::Write);
        }
        SecretCommand::Delete(args) => steps::delete(args, id, store.manage()?).await?,
        SecretCommand::Policy(command) => policy::run(command, id, store.policies()?, io).await?,
        SecretCommand::Restore { .. } => steps::restore(id, store.manage()?).await?,
    };
    let written = io.out.write_all(text.as_bytes());
    written
        .and_then(|()| io.out.flush())
        .map_err(SecretCommandError::Write)
}
