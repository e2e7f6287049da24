//! `pgvalet secret policy`: the resource policy of a secret.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Io, SecretCommandError, output, value};
use crate::secret::{Policies, SecretId};

#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Print the policy of a secret
    #[command(after_help = "Example:\n  pgvalet secret policy get prod/orders")]
    Get {
        /// Name or ARN
        name: String,
    },
    /// Attach a policy; refused if it lets in everybody or locks its author out
    #[command(after_help = "Example:\n  pgvalet secret policy put prod/orders --file policy.json")]
    Put {
        /// Name or ARN
        name: String,
        /// Read the policy from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Attach the policy even if it lets in everybody
        #[arg(long)]
        allow_public: bool,
    },
    /// Check a policy without attaching it
    #[command(
        after_help = "Example:\n  pgvalet secret policy validate prod/orders --file policy.json"
    )]
    Validate {
        /// Name or ARN
        name: String,
        /// Read the policy from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON, in the shape of the Secrets Manager API
        #[arg(long)]
        json: bool,
    },
    /// Remove the policy
    #[command(after_help = "Example:\n  pgvalet secret policy delete prod/orders")]
    Delete {
        /// Name or ARN
        name: String,
    },
}

impl PolicyCommand {
    /// The secret that the command is about.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Get { name }
            | Self::Put { name, .. }
            | Self::Validate { name, .. }
            | Self::Delete { name } => name,
        }
    }
}

/// Runs a command and gives the text to print.
pub(super) async fn run(
    command: PolicyCommand,
    id: &SecretId,
    store: &dyn Policies,
    io: &mut Io<'_>,
) -> Result<String, SecretCommandError> {
    Ok(match command {
        PolicyCommand::Get { .. } => match store.policy(id).await? {
            Some(policy) => format!("{}\n", policy.trim_end()),
            None => return Err(SecretCommandError::NoPolicy(id.clone())),
        },
        PolicyCommand::Put {
            file, allow_public, ..
        } => {
            let text = value::read(file.as_deref(), io)?;
            store
                .put_policy(id, text.to_string(), !allow_public)
                .await?;
            format!("the policy is attached to {id}\n")
        }
        PolicyCommand::Validate { file, json, .. } => {
            let text = value::read(file.as_deref(), io)?;
            let findings = store.validate_policy(id, text.to_string()).await?;
            if json {
                let text = output::findings_json(&findings);
                output::reveal(io.out, text.trim_end()).map_err(SecretCommandError::Write)?;
                return match findings.is_empty() {
                    true => Ok(String::new()),
                    false => Err(SecretCommandError::Shown),
                };
            }
            if !findings.is_empty() {
                return Err(SecretCommandError::Findings(findings));
            }
            "the policy has no faults\n".to_owned()
        }
        PolicyCommand::Delete { .. } => {
            store.delete_policy(id).await?;
            format!("the policy of {id} is removed\n")
        }
    })
}
