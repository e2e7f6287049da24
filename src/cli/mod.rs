//! The command line: arguments in, exit code out. A file for each command.

mod act;
mod audit;
mod certificates;
mod check;
mod clients;
mod config;
mod cost;
pub mod demo;
mod explain;
mod failure;
mod files;
mod fleet;
mod harden;
mod health;
pub mod init;
mod logging;
mod manual;
mod online;
mod record;
mod refresh;
mod rotate;
mod run;
pub mod secret;
mod status;
mod store;
mod stores;
mod table;
mod upgrade;
mod words;
mod workers;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::log;
use crate::config::Config;
use crate::server::Predecessor;

pub(crate) use failure::Failure;

/// A PostgreSQL proxy and pooler that keeps database credentials out of applications
#[derive(Parser)]
#[command(
    name = "pgvalet",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  pgvalet check --offline --config config/pgvalet.toml\n\n\
        Logging: PGVALET_LOG=debug (error, warn, info, debug, trace), PGVALET_LOG_FORMAT=json\n\
        Exit codes: 0 done; 1 failed, or something is wrong; 2 wrong usage or configuration, or a\n\
        name that there is not; 141 nobody read the output to its end"
)]
struct Cli {
    /// The configuration file
    #[arg(
        short,
        long,
        global = true,
        env = "PGVALET_CONFIG",
        value_name = "FILE",
        default_value = "config/pgvalet.toml"
    )]
    config: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy
    #[command(
        after_help = "Example:\n  pgvalet run --config /etc/pgvalet/pgvalet.toml\n\n\
        SIGHUP reloads the configuration; SIGUSR2 upgrades, as `pgvalet upgrade` does;\n\
        SIGTERM lets transactions finish, then stops the proxy"
    )]
    Run,
    /// Write a first configuration: by asking, from a Postgres, or from PgBouncer's files
    Init(init::Args),
    /// Check the configuration, the store, and that each credential logs in
    Check(check::Args),
    /// See pgvalet work: a throwaway Postgres, clients without passwords, rotations, live
    Demo(demo::DemoArgs),
    /// Manage the secrets of the configured stores
    #[command(after_help = "Example:\n  pgvalet secret create prod/orders --file value.json")]
    Secret(secret::SecretArgs),
    /// Change the password of a secret's database role, in Postgres and in the store
    Rotate(rotate::Args),
    /// Approve of rotations of a running proxy
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet rotation approve prod/orders"
    )]
    Rotation(act::Rotation),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Say which rule decides for a client, and why the others do not
    Explain(explain::Args),
    /// Show what is wrong with a running proxy, and its databases
    Status(status::Args),
    /// Say whether anything is wrong with a running proxy, and what to do about it
    Health(health::Args),
    /// Show the clients of a running proxy: what they do, and which version they hold
    Clients(clients::Args),
    /// Show the server connections of a running proxy
    Servers(clients::Args),
    /// Let transactions finish, close the server connections, and have clients wait
    Pause(act::Args),
    /// Serve those who wait again
    Resume(act::Args),
    /// End clients: one, or all of a database, which is paused then
    Kill(act::KillArgs),
    /// Replace every server connection, each as soon as nobody holds it
    Reconnect(act::Args),
    /// Replace a running proxy by a new process, without a lost session
    Upgrade(upgrade::Args),
    /// Make a running proxy look up its secrets now
    Refresh(refresh::Args),
    /// Serve the embedded store, and manage who may use it, its key and its backups
    #[command(after_help = "Example:\n  pgvalet store backup /backup/store.db")]
    Store(store::StoreArgs),
    /// Make what several replicas need
    #[command(subcommand, after_help = "Example:\n  pgvalet fleet key")]
    Fleet(fleet::Command),
    /// Print what editors need to know about the configuration file
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet config schema > pgvalet.schema.json"
    )]
    Config(config::Command),
    /// Print completions of the command line for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(manual::ManArgs),
}

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(shown) => return ExitCode::from(show(&shown)),
    };
    // The demo shows on the screen what the log would say.
    let level = match cli.command {
        Command::Demo(_) => "off",
        _ => "info",
    };
    let last_lines = logging::Flush;
    let result = logging::init(level).and_then(|()| run_command(&cli));
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    let (code, message) = (failure.exit_code(), failure.to_string());
    drop(last_lines);
    if !failure.is_not_read() && !message.is_empty() {
        // Through the queue of the log: where nobody reads it, the exit code remains.
        log::line(&format!("pgvalet: {message}"));
    }
    let _last_line = logging::Flush;
    ExitCode::from(code)
}

/// Prints a help, the version, or what is wrong with the arguments; the exit code.
fn show(said: &clap::Error) -> u8 {
    match said.print() {
        Err(error) if !said.use_stderr() => Failure::Io(error).exit_code(),
        _ => u8::try_from(said.exit_code()).unwrap_or(2),
    }
}

fn run_command(cli: &Cli) -> Result<(), Failure> {
    // Standard output is not locked: the audit log may go there too, and be stuck there.
    let mut out = io::stdout();
    if let Command::Run = cli.command {
        return execute(cli, &mut out);
    }
    logging::start()?;
    let result = execute(cli, &mut out);
    let flushed = out.flush();
    // What the command found counts more than that somebody did not read it.
    result?;
    Ok(flushed?)
}

fn execute(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    harden::keep_memory_private();
    match &cli.command {
        Command::Run => {
            let before = Predecessor::take()?;
            let done = load(cli).and_then(|config| run::run(&cli.config, config, before.as_ref()));
            if let (Err(failure), Some(before)) = (&done, &before) {
                before.fail(&failure.to_string());
            }
            done
        }
        Command::Init(args) => init::run(args, &cli.config, out),
        Command::Check(args) => check::run(args, &cli.config, &load(cli)?, out),
        Command::Demo(args) => tokio::runtime::Runtime::new()?
            .block_on(demo::run(args.clone()))
            .map_err(Failure::Demo),
        Command::Secret(args) => block_on(secret::on_stores(args, &load(cli)?)),
        Command::Rotate(args) => block_on(rotate::run(args, &load(cli)?, out)),
        Command::Rotation(command) => block_on(act::approve(command, &of_running(cli)?, out)),
        Command::Audit(command) => audit::run(command, || load(cli), out),
        Command::Explain(args) => block_on(explain::run(args, &load(cli)?, out)),
        Command::Status(args) => block_on(status::run(args, &of_running(cli)?, out)),
        Command::Health(args) => block_on(health::run(args, &of_running(cli)?, out)),
        Command::Clients(args) => block_on(clients::clients(args, &of_running(cli)?, out)),
        Command::Servers(args) => block_on(clients::servers(args, &of_running(cli)?, out)),
        Command::Pause(args) => block_on(act::run("/pause", args, &of_running(cli)?, out)),
        Command::Resume(args) => block_on(act::run("/resume", args, &of_running(cli)?, out)),
        Command::Reconnect(args) => block_on(act::run("/reconnect", args, &of_running(cli)?, out)),
        Command::Kill(args) => block_on(act::kill(args, &of_running(cli)?, out)),
        Command::Upgrade(args) => block_on(upgrade::run(args, &load(cli)?, out)),
        Command::Refresh(args) => block_on(refresh::run(args, &of_running(cli)?, out)),
        Command::Store(args) => store::run(args, &load(cli)?, out),
        Command::Fleet(command) => fleet::run(command, || load(cli), out),
        Command::Config(command) => config::run(command, out),
        Command::Completions(args) => Ok(manual::completions(args, out)?),
        Command::Man(args) => manual::man(args, out),
    }
}

fn load(cli: &Cli) -> Result<Config, Failure> {
    let config = crate::config::load(&cli.config)?;
    files::store_is_in_place(&config, &cli.config)?;
    Ok(config)
}

/// The configuration for a command that asks the running proxy, which a mistake in the file does
/// not concern: the proxy goes on with what it read before.
fn of_running(cli: &Cli) -> Result<Config, Failure> {
    let (config, mistakes) = crate::config::load_in_part(&cli.config)?;
    if let Some(mistakes) = mistakes {
        log::line(&format!(
            "pgvalet: the running proxy is asked although its file has mistakes (pgvalet check):\n{mistakes}"
        ));
    }
    Ok(config)
}

/// Runs a command that waits for the network.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_an_example() {
        fn visit(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            let name = command.get_name();
            assert!(help.is_some_and(|h| h.contains("Example")), "{name}");
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn the_configuration_can_be_named_before_and_after_the_command() {
        for arguments in [
            ["pgvalet", "--config", "x.toml", "status"],
            ["pgvalet", "status", "--config", "x.toml"],
            ["pgvalet", "status", "-c", "x.toml"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(cli.config, PathBuf::from("x.toml"));
        }
    }
}
