//! The arguments of `pgvalet secret`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::policy::PolicyCommand;
use crate::secret::{AWSCURRENT, RandomPassword};

#[derive(Debug, Clone, Args)]
pub struct SecretArgs {
    /// The store, [store.NAME]; a secret may also be written NAME:SECRET [default: [store]]
    #[arg(long, global = true, value_name = "NAME")]
    pub store: Option<String>,
    #[command(subcommand)]
    pub command: SecretCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SecretCommand {
    /// Make a secret with its first version; prints the VersionId last
    #[command(after_help = "Example:\n  \
        echo '{\"username\":\"app\",\"password\":\"…\",\"host\":\"db.internal\"}' | \
        pgvalet secret create prod/orders")]
    Create(Create),
    /// Put a new version into a secret; prints its VersionId last
    #[command(after_help = "Example:\n  \
        pgvalet secret put prod/orders --stage AWSPENDING --file next.json")]
    Put(Put),
    /// Show a version; its value only with --reveal
    #[command(after_help = "Examples:\n  \
        pgvalet secret get prod/orders\n  \
        pgvalet secret get prod/orders --stage AWSPREVIOUS --reveal")]
    Get(Get),
    /// List the secrets, ordered by name
    #[command(after_help = "Example:\n  pgvalet secret list --json")]
    List {
        /// Print JSON, in the shape of the Secrets Manager API
        #[arg(long)]
        json: bool,
    },
    /// Show a secret and which version carries which label
    #[command(after_help = "Examples:\n  \
        pgvalet secret describe prod/orders --json\n  \
        pgvalet secret describe prod/orders --all")]
    Describe {
        /// Name or ARN
        name: String,
        /// The versions without a label as well
        #[arg(long)]
        all: bool,
        /// Print JSON, in the shape of the Secrets Manager API
        #[arg(long)]
        json: bool,
    },
    /// Move a staging label to another version (UpdateSecretVersionStage)
    #[command(after_help = "Example:\n  \
        pgvalet secret stage prod/orders AWSCURRENT --to 1f4e27a0\n  \
        pgvalet secret stage prod/orders AWSPENDING --from 1f4e27a0")]
    Stage(Stage),
    /// Print a random password
    #[command(after_help = "Example:\n  \
        pgvalet secret random --length 40 --exclude-characters ':/@\"'")]
    Random(RandomArgs),
    /// Delete a secret, recoverably unless --now
    #[command(after_help = "Examples:\n  \
        pgvalet secret delete prod/orders --recovery-window 7\n  \
        pgvalet secret delete prod/orders --now")]
    Delete(Delete),
    /// Read and change the policy that says who may do what with a secret
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet secret policy put prod/orders --file policy.json"
    )]
    Policy(PolicyCommand),
    /// Undo a deletion within its recovery window
    #[command(after_help = "Example:\n  pgvalet secret restore prod/orders")]
    Restore {
        /// Name or ARN
        name: String,
    },
}

impl SecretCommand {
    /// The secret that the command is about, as it was written.
    pub fn name(&self) -> Option<&str> {
        Some(match self {
            Self::Create(args) => &args.name,
            Self::Put(args) => &args.name,
            Self::Get(args) => &args.name,
            Self::Stage(args) => &args.name,
            Self::Delete(args) => &args.name,
            Self::Policy(command) => command.name(),
            Self::Describe { name, .. } | Self::Restore { name } => name,
            Self::List { .. } | Self::Random(_) => return None,
        })
    }
}

#[derive(Debug, Clone, Args)]
pub struct Create {
    /// The secret's name: letters, digits and /_+=.@-
    pub(super) name: String,
    /// Store it even if no database could be logged in to with it
    #[arg(long)]
    pub(super) any: bool,
    /// Read the value from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// What the secret is for
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct Put {
    /// Name or ARN
    pub(super) name: String,
    /// Staging label of the new version; may be repeated
    #[arg(long, value_name = "LABEL", default_value = AWSCURRENT)]
    pub(super) stage: Vec<String>,
    /// ClientRequestToken: makes a repeated request harmless and becomes the VersionId
    #[arg(long, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Store it even if no database could be logged in to with it
    #[arg(long)]
    pub(super) any: bool,
    /// Read the value from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct Get {
    /// Name or ARN
    pub(super) name: String,
    /// The version with this staging label
    #[arg(long, value_name = "LABEL", default_value = AWSCURRENT, conflicts_with = "version")]
    pub(super) stage: String,
    /// The version with this VersionId, or with these first characters of it
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<String>,
    /// Print the bare value, and nothing else
    #[arg(long)]
    pub(super) reveal: bool,
    /// Print JSON, in the shape of the Secrets Manager API, without the value
    #[arg(long, conflicts_with = "reveal")]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Stage {
    /// Name or ARN
    pub(super) name: String,
    /// The label, such as AWSCURRENT
    pub(super) label: String,
    /// VersionId that gets the label, or its first characters; without it, the label is removed
    #[arg(long, value_name = "VERSION", required_unless_present = "from")]
    pub(super) to: Option<String>,
    /// VersionId that has the label now [default: whichever has it]
    #[arg(long, value_name = "VERSION")]
    pub(super) from: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// Name or ARN
    pub(super) name: String,
    /// Days in which it can be restored, 7 to 30
    #[arg(
        long,
        value_name = "DAYS",
        default_value_t = 30,
        conflicts_with = "now"
    )]
    pub(super) recovery_window: u32,
    /// Delete it at once and for good
    #[arg(long)]
    pub(super) now: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RandomArgs {
    /// Number of characters, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = 32)]
    length: u32,
    /// Characters that must not occur
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value = "",
        hide_default_value = true
    )]
    exclude_characters: String,
    /// No digits
    #[arg(long)]
    exclude_numbers: bool,
    /// No punctuation
    #[arg(long)]
    exclude_punctuation: bool,
    /// No uppercase letters
    #[arg(long)]
    exclude_uppercase: bool,
    /// No lowercase letters
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
