//! `pgvalet secret`: the secrets of the configured store, whichever kind it is.
//!
//! A value comes from a file or from standard input, never from an argument:
//! every process of the machine can see arguments.

mod arguments;
mod error;
mod output;
mod policy;
mod steps;
#[cfg(test)]
mod tests;
mod value;
mod versions;

use std::io::{self, IsTerminal, Read, Write};

pub use arguments::SecretCommand;
pub use error::SecretCommandError;
pub(super) use output::time;

use crate::secret::SecretStore;

/// Where a command reads and writes.
struct Io<'a> {
    input: &'a mut dyn Read,
    input_is_terminal: bool,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Runs a command on standard input, output and error.
pub async fn run(
    command: SecretCommand,
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
    execute(command, store, io).await
}

async fn execute(
    command: SecretCommand,
    store: &dyn SecretStore,
    mut io: Io<'_>,
) -> Result<(), SecretCommandError> {
    let text = match command {
        SecretCommand::Create(args) => steps::create(args, store.manage()?, &mut io).await?,
        SecretCommand::Put(args) => steps::put(args, store.rotatable()?, &mut io).await?,
        SecretCommand::Get(args) if args.reveal => {
            let found = steps::get(args, store).await?;
            return output::reveal(io.out, &found.value).map_err(SecretCommandError::Write);
        }
        SecretCommand::Get(args) if args.json => {
            output::version_json(&steps::get(args, store).await?)
        }
        SecretCommand::Get(args) => output::version(&steps::get(args, store).await?),
        SecretCommand::List { json: true } => output::list_json(&store.list().await?),
        SecretCommand::List { json: false } => output::list(&store.list().await?),
        SecretCommand::Describe { name, all, json } => {
            steps::describe(name, all, json, store).await?
        }
        SecretCommand::Stage(args) => steps::stage(args, store.rotatable()?).await?,
        SecretCommand::Random(options) => {
            let password = store.rotatable()?.random_password(options.into()).await?;
            return output::reveal(io.out, &password).map_err(SecretCommandError::Write);
        }
        SecretCommand::Delete(args) => steps::delete(args, store.manage()?).await?,
        SecretCommand::Policy(command) => policy::run(command, store.policies()?, &mut io).await?,
        SecretCommand::Restore { name } => steps::restore(name, store.manage()?).await?,
    };
    let written = io.out.write_all(text.as_bytes());
    written
        .and_then(|()| io.out.flush())
        .map_err(SecretCommandError::Write)
}
