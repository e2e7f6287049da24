//! `pgvalet secret`: the secrets of the configured store, whichever it is.
//!
//! A value comes from a file or from standard input, never from an argument:
//! arguments are seen by every process of the machine.

mod output;
mod policy;
mod value;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::secret::{
    AWSCURRENT, Credential, Deletion, NewSecret, RandomPassword, SecretId, SecretStore,
    SecretValue, StoreError, VersionId, Which,
};

#[derive(Debug, Clone, Subcommand)]
pub enum SecretCommand {
    /// Make a secret with its first version; prints the VersionId last
    #[command(after_help = "Example:\n  \
        echo '{\"username\":\"app\",\"password\":\"…\",\"host\":\"db.internal\"}' | \
        pgvalet secret create prod/orders")]
    Create {
        /// The secret's name: letters, digits and /_+=.@-
        name: String,
        /// Read the value from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Put a new version into a secret; prints its VersionId last
    #[command(after_help = "Example:\n  \
        pgvalet secret put prod/orders --stage AWSPENDING --file next.json")]
    Put {
        /// Name or ARN
        name: String,
        /// Staging label of the new version; may be repeated
        #[arg(long, value_name = "LABEL", default_value = AWSCURRENT)]
        stage: Vec<String>,
        /// ClientRequestToken: makes a repeated request harmless and becomes the VersionId
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
        /// Read the value from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show a version, its value only with --reveal
    #[command(after_help = "Examples:\n  \
        pgvalet secret get prod/orders\n  \
        pgvalet secret get prod/orders --stage AWSPREVIOUS --reveal")]
    Get {
        /// Name or ARN
        name: String,
        /// The version with this staging label
        #[arg(long, value_name = "LABEL", default_value = AWSCURRENT, conflicts_with = "version")]
        stage: String,
        /// The version with this VersionId
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// Print the bare value, and nothing else
        #[arg(long)]
        reveal: bool,
    },
    /// List the secrets, ordered by name
    #[command(after_help = "Example:\n  pgvalet secret list --json")]
    List {
        /// In the shape of the Secrets Manager API
        #[arg(long)]
        json: bool,
    },
    /// Show a secret and which version carries which label
    #[command(after_help = "Example:\n  pgvalet secret describe prod/orders --json")]
    Describe {
        /// Name or ARN
        name: String,
        /// In the shape of the Secrets Manager API
        #[arg(long)]
        json: bool,
    },
    /// Move a staging label to another version (UpdateSecretVersionStage)
    #[command(after_help = "Example:\n  \
        pgvalet secret stage prod/orders AWSCURRENT --to NEW-VERSION --from OLD-VERSION")]
    Stage {
        /// Name or ARN
        name: String,
        /// The label, AWSCURRENT for one
        label: String,
        /// VersionId that gets the label
        #[arg(long, value_name = "VERSION")]
        to: String,
        /// VersionId that has the label now; required where another version has it
        #[arg(long, value_name = "VERSION")]
        from: Option<String>,
    },
    /// Print a random password
    #[command(after_help = "Example:\n  \
        pgvalet secret random --length 40 --exclude-characters ':/@\"'")]
    Random(RandomArgs),
    /// Delete a secret, recoverably unless --now
    #[command(after_help = "Examples:\n  \
        pgvalet secret delete prod/orders --recovery-window 7\n  \
        pgvalet secret delete prod/orders --now")]
    Delete {
        /// Name or ARN
        name: String,
        /// Days in which it can be restored, 7 to 30
        #[arg(
            long,
            value_name = "DAYS",
            default_value_t = 30,
            conflicts_with = "now"
        )]
        recovery_window: u32,
        /// At once and for good
        #[arg(long)]
        now: bool,
    },
    /// The policy that says who may do what with a secret
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet secret policy put prod/orders --file policy.json"
    )]
    Policy(policy::PolicyCommand),
    /// Take a deletion back within its recovery window
    #[command(after_help = "Example:\n  pgvalet secret restore prod/orders")]
    Restore {
        /// Name or ARN
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct RandomArgs {
    /// Number of characters, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = 32)]
    length: u32,
    /// Characters that shall not occur
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value = "",
        hide_default_value = true
    )]
    exclude_characters: String,
    #[arg(long)]
    exclude_numbers: bool,
    #[arg(long)]
    exclude_punctuation: bool,
    #[arg(long)]
    exclude_uppercase: bool,
    #[arg(long)]
    exclude_lowercase: bool,
    /// Spaces may occur
    #[arg(long)]
    include_space: bool,
    /// Do not insist on one character of each type
    #[arg(long)]
    no_require_each_included_type: bool,
}

impl From<RandomArgs> for RandomPassword {
    fn from(args: RandomArgs) -> Self {
        Self {
            length: args.length,
            exclude_characters: args.exclude_characters,
            exclude_numbers: args.exclude_numbers,
            exclude_punctuation: args.exclude_punctuation,
            exclude_uppercase: args.exclude_uppercase,
            exclude_lowercase: args.exclude_lowercase,
            include_space: args.include_space,
            require_each_included_type: !args.no_require_each_included_type,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretCommandError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the value from {place}: {source}")]
    Read { place: String, source: io::Error },
    #[error("the value in {0} is not UTF-8 text; encode it, for example as base64")]
    NotText(String),
    #[error("the value in {0} is longer than the 65536 bytes that a secret can have")]
    TooLong(String),
    #[error("there is no value in {0}; give it on standard input or with --file")]
    Empty(String),
    #[error("{0} has no policy")]
    NoPolicy(SecretId),
    #[error("{}", findings(.0))]
    Findings(Vec<(String, String)>),
    #[error("cannot write the answer: {0}")]
    Write(io::Error),
}

impl SecretCommandError {
    /// 2 for what has to be asked differently, 1 for what failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(StoreError::InvalidParameter(_))
            | Self::NotText(_)
            | Self::TooLong(_)
            | Self::Empty(_) => 2,
            Self::Store(_)
            | Self::Read { .. }
            | Self::NoPolicy(_)
            | Self::Findings(_)
            | Self::Write(_) => 1,
        }
    }
}

fn findings(findings: &[(String, String)]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|(check, message)| format!("{check}: {message}"))
        .collect();
    lines.join("\n")
}

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
        SecretCommand::Create {
            name,
            file,
            description,
        } => {
            let value = value::read(file.as_deref(), &mut io)?;
            let id = SecretId::new(name.as_str());
            let warning = warning(&id, &value);
            let secret = NewSecret {
                name,
                description,
                value,
                token: None,
            };
            let version = store.create(secret).await?;
            warn(&mut io, warning)?;
            format!("{version}\n")
        }
        SecretCommand::Put {
            name,
            stage,
            token,
            file,
        } => {
            let value = value::read(file.as_deref(), &mut io)?;
            let id = SecretId::new(name);
            let warning = warning(&id, &value);
            let version = store
                .put(&id, value, stage, token.map(VersionId::new))
                .await?;
            warn(&mut io, warning)?;
            format!("{version}\n")
        }
        SecretCommand::Get {
            name,
            stage,
            version,
            reveal,
        } => {
            let which = match version {
                Some(version) => Which::Version(VersionId::new(version)),
                None => Which::Stage(stage),
            };
            let found = store.get(&SecretId::new(name), &which).await?;
            if reveal {
                return output::reveal(io.out, &found.value).map_err(SecretCommandError::Write);
            }
            output::version(&found)
        }
        SecretCommand::List { json } => {
            let secrets = store.list().await?;
            match json {
                true => output::list_json(&secrets),
                false => output::list(&secrets),
            }
        }
        SecretCommand::Describe { name, json } => {
            let description = store.describe(&SecretId::new(name)).await?;
            match json {
                true => output::describe_json(&description),
                false => output::describe(&description),
            }
        }
        SecretCommand::Stage {
            name,
            label,
            to,
            from,
        } => {
            let (id, to) = (SecretId::new(name), VersionId::new(to));
            let from = from.map(VersionId::new);
            store
                .move_stage(&id, &label, Some(to.clone()), from)
                .await?;
            format!("{id}: {label} is on {to}\n")
        }
        SecretCommand::Random(options) => {
            let password = store.random_password(options.into()).await?;
            return output::reveal(io.out, &password).map_err(SecretCommandError::Write);
        }
        SecretCommand::Delete {
            name,
            recovery_window,
            now,
        } => {
            let id = SecretId::new(name);
            let how = match now {
                true => Deletion::Now,
                false => Deletion::Window {
                    days: recovery_window,
                },
            };
            match (now, store.delete(&id, how).await?) {
                (false, Some(at)) => {
                    let at = output::time(at);
                    format!("{id} will be gone at {at}; until then it can be restored\n")
                }
                _ => format!("{id} is deleted\n"),
            }
        }
        SecretCommand::Policy(command) => policy::run(command, store, &mut io).await?,
        SecretCommand::Restore { name } => {
            let id = SecretId::new(name);
            store.restore(&id).await?;
            format!("{id} is restored\n")
        }
    };
    let written = io.out.write_all(text.as_bytes());
    written
        .and_then(|()| io.out.flush())
        .map_err(SecretCommandError::Write)
}

/// What a user should hear of a value that the proxy could not log in with.
/// Not an error: a secret may hold anything.
fn warning(id: &SecretId, value: &str) -> Option<String> {
    let candidate = SecretValue {
        arn: id.as_str().into(),
        name: id.as_str().into(),
        version: VersionId::new(""),
        stages: Vec::new(),
        created: None::<SystemTime>,
        value: zeroize::Zeroizing::new(value.to_owned()),
    };
    let problem = Credential::parse(id, &candidate).err()?;
    Some(format!(
        "warning: {id} is stored, but pgvalet cannot log in with it: {problem}\n"
    ))
}

fn warn(io: &mut Io<'_>, warning: Option<String>) -> Result<(), SecretCommandError> {
    match warning {
        Some(text) => io
            .err
            .write_all(text.as_bytes())
            .map_err(SecretCommandError::Write),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
