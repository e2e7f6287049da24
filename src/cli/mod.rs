//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or
//! configuration.

mod check;
mod run;
pub mod secret;
mod status;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, ConfigError};
use crate::secret::StoreError;
use crate::server::ServerError;

/// A PostgreSQL proxy and pooler that keeps database credentials out of
/// applications.
#[derive(Parser)]
#[command(name = "pgvalet", version, max_term_width = 100)]
struct Cli {
    /// The configuration file
    #[arg(
        long,
        global = true,
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
        SIGHUP reloads the configuration; SIGTERM stops accepting and lets transactions finish."
    )]
    Run,
    /// Check the configuration, the store, and that each credential logs in
    #[command(after_help = "Examples:\n  pgvalet check\n  pgvalet check --offline")]
    Check(CheckArgs),
    /// Keep secrets in the configured store
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Show pools, generations and drains of the running proxy
    #[command(after_help = "Example:\n  pgvalet status --json")]
    Status(StatusArgs),
}

#[derive(Args)]
struct CheckArgs {
    /// Only the file: ask neither the store nor a server
    #[arg(long)]
    offline: bool,
}

#[derive(Args)]
struct StatusArgs {
    /// The document of /status
    #[arg(long)]
    json: bool,
}

/// Why a command failed: one sentence, and who has to act.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Server(#[from] ServerError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Secret(#[from] secret::SecretCommandError),
    #[error("{0}")]
    Status(#[from] status::StatusError),
    #[error("{0} of the checks failed")]
    Check(usize),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Secret(e) => e.exit_code(),
            _ => 1,
        }
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(cli));
            // A name service that hangs must not hold up the exit.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            result
        }
        Err(e) => Err(Failure::Runtime(e)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pgvalet: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let load = || -> Result<Config, Failure> { Ok(config::load(&cli.config)?) };
    match cli.command {
        Command::Run => run::run(&cli.config, load()?).await,
        Command::Check(args) => check::check(&cli.config, &load()?, args.offline).await,
        Command::Secret(command) => {
            let store = crate::secret::open(&load()?.store).await?;
            Ok(secret::run(command, &*store).await?)
        }
        Command::Status(args) => Ok(status::status(&load()?.admin, args.json).await?),
    }
}

/// To standard error: `PGVALET_LOG` chooses what (`info` without it),
/// `PGVALET_LOG_FORMAT=json` how.
fn log() {
    let filter = EnvFilter::try_from_env("PGVALET_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,aws_config=warn,aws_runtime=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("PGVALET_LOG_FORMAT").is_ok_and(|f| f == "json") {
        builder.json().init();
    } else {
        builder.init();
    }
}
