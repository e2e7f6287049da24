//! `pgvalet store policy`: what policies decide.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::Failure;
use crate::vault::Vault;
use crate::vault::api::Simulation;
use crate::vault::policy::{self, Kind, Policy};
use crate::vault::principals::PolicyText;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Say which statement of which policy decides a call; fails if the call is denied
    #[command(after_help = "Examples:\n  \
        pgvalet store policy simulate --principal orders-api --action GetSecretValue \
        --secret prod/orders\n  \
        pgvalet store policy simulate --principal orders-api --action DeleteSecret \
        --secret prod/orders \\\n      --context aws:SourceIp=10.0.0.1 \
        --resource-policy next.json\n\n\
        Tags, the time and the principal's own keys are those that a call would have now")]
    Simulate(Simulate),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Simulate {
    /// Name of the principal
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// Operation, such as GetSecretValue
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: &'static str,
    /// Name or ARN; leave it out for operations that concern no secret, such as ListSecrets
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// A condition key of the call, such as aws:SourceIp; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = context)]
    context: Vec<(String, String)>,
    /// Decide as if the principal had this policy and no other; may be repeated
    #[arg(long, value_name = "FILE")]
    identity_policy: Vec<PathBuf>,
    /// Decide as if the secret had this policy
    #[arg(long, value_name = "FILE", requires = "secret")]
    resource_policy: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn action(text: &str) -> Result<&'static str, String> {
    policy::operation(text)
        .ok_or_else(|| format!("there is no operation {text:?}; write one such as GetSecretValue"))
}

fn context(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains(':') => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE, for example aws:SourceIp=10.0.0.1".into()),
    }
}

pub(super) async fn run(
    command: &Command,
    vault: &Vault,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let Command::Simulate(args) = command;
    let mut identity = Vec::new();
    for file in &args.identity_policy {
        identity.push(PolicyText {
            name: file.display().to_string(),
            document: read(file, Kind::Identity)?,
        });
    }
    let resource = args.resource_policy.as_deref();
    let simulation = Simulation {
        principal: args.principal.clone(),
        action: args.action,
        secret: args.secret.clone(),
        context: args.context.clone(),
        identity: Some(identity).filter(|policies| !policies.is_empty()),
        resource: resource
            .map(|file| read(file, Kind::Resource))
            .transpose()?,
    };
    let simulated = vault.simulate(simulation).await?;
    if args.json {
        let answer = json!({ "allowed": simulated.allowed, "reason": simulated.reason });
        writeln!(out, "{answer:#}")?;
    } else {
        writeln!(out, "{}", simulated.reason)?;
    }
    match simulated.allowed {
        true => Ok(()),
        false => Err(Failure::Shown),
    }
}

/// Reads a policy, and refuses a text that is not one.
fn read(file: &Path, kind: Kind) -> Result<String, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::Failed(format!("cannot read {name}: {e}")))?;
    Policy::parse(&name, &text, kind).map_err(|e| Failure::Usage(format!("{name}: {e}")))?;
    Ok(text)
}
