//! `pgvalet store principal`: who may call the API.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::base::duration;
use crate::cli::{Failure, table, words};
use crate::vault::Vault;
use crate::vault::principals::{KeyInfo, NewKey, PolicyText, Principal};

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Add a principal; prints its access key; it is not shown again
    #[command(after_help = "Example:\n  \
        pgvalet store principal add orders-api --policy policy.json --json")]
    Add {
        /// Letters, digits and _+=,.@-
        name: String,
        #[command(flatten)]
        policies: Policies,
        /// For aws:PrincipalTag in policies; may be repeated
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the principals, with the ids of their keys
    #[command(after_help = "Example:\n  pgvalet store principal list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop accepting its keys
    #[command(after_help = "Example:\n  pgvalet store principal disable orders-api")]
    Disable {
        /// Name of the principal
        name: String,
    },
    /// Accept its keys again
    #[command(after_help = "Example:\n  pgvalet store principal enable orders-api")]
    Enable {
        /// Name of the principal
        name: String,
    },
    /// Replace the policies of a principal
    #[command(after_help = "Example:\n  \
        pgvalet store principal set-policy orders-api --policy policy.json")]
    SetPolicy {
        /// Name of the principal
        name: String,
        #[command(flatten)]
        policies: Policies,
    },
    /// Make a new access key and end the older ones; prints the new one; it is not shown again
    #[command(after_help = "Example:\n  \
        pgvalet store principal rotate-key orders-api --overlap 1h")]
    RotateKey {
        /// Name of the principal
        name: String,
        /// How long the older keys still work
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = overlap)]
        overlap: Duration,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Whether the command may be the first one that a store gets.
    pub fn may_be_first(&self) -> bool {
        matches!(self, Self::Add { .. })
    }

    /// What it changes, in words; `None`: nothing.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::Add { name, .. } => Some(format!("add {name}")),
            Self::List { .. } => None,
            Self::Disable { name } => Some(format!("disable {name}")),
            Self::Enable { name } => Some(format!("enable {name}")),
            Self::SetPolicy { name, .. } => Some(format!("set-policy {name}")),
            Self::RotateKey { name, .. } => Some(format!("rotate-key {name}")),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct Policies {
    /// An IAM policy document; may be repeated
    #[arg(long = "policy", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".into()),
    }
}

fn overlap(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

pub(super) async fn run(
    command: &Command,
    vault: &Vault,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        Command::Add {
            name,
            policies,
            tags,
            json,
        } => {
            let tags: BTreeMap<_, _> = tags.iter().cloned().collect();
            let added = vault.add_principal(name.clone(), read(policies)?, tags);
            let (principal, key) = added.await?;
            show_key(out, &principal.name, &principal.arn(), &key, *json)
        }
        Command::List { json } => {
            let principals = vault.principals().await?;
            match json {
                true => list_json(out, &principals),
                false => list(out, &principals),
            }
        }
        Command::Disable { name } => {
            let done = vault.disable_principal(name.clone(), true).await;
            done?;
            Ok(writeln!(
                out,
                "{name} is disabled: its keys are no longer accepted"
            )?)
        }
        Command::Enable { name } => {
            let done = vault.disable_principal(name.clone(), false).await;
            done?;
            Ok(writeln!(out, "{name} is enabled")?)
        }
        Command::SetPolicy { name, policies } => {
            let done = vault.set_principal_policies(name.clone(), read(policies)?);
            done.await?;
            let policies = words::count(policies.files.len(), "policy");
            Ok(writeln!(out, "{name} has {policies}")?)
        }
        Command::RotateKey {
            name,
            overlap,
            json,
        } => {
            let key = vault.rotate_principal_key(name.clone(), *overlap).await;
            let key = key?;
            let principals = vault.principals().await?;
            let arn = principals.iter().find(|(p, _)| p.name == *name);
            let arn = arn.map(|(p, _)| p.arn()).unwrap_or_default();
            show_key(out, name, &arn, &key, *json)
        }
    }
}

fn read(policies: &Policies) -> Result<Vec<PolicyText>, Failure> {
    let read = |path: &PathBuf| {
        let document = std::fs::read_to_string(path).map_err(|e| {
            Failure::Failed(format!("cannot read the policy {}: {e}", path.display()))
        })?;
        Ok(PolicyText {
            name: name_of(path),
            document,
        })
    };
    policies.files.iter().map(read).collect()
}

/// The name by which decisions refer to the policy of a file.
fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn show_key(
    out: &mut dyn Write,
    name: &str,
    arn: &str,
    key: &NewKey,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let shown = json!({
            "name": name,
            "arn": arn,
            "access_key_id": key.id,
            "secret_access_key": *key.secret,
        });
        return Ok(writeln!(out, "{shown:#}")?);
    }
    writeln!(out, "name               {name}")?;
    writeln!(out, "access_key_id      {}", key.id)?;
    writeln!(out, "secret_access_key  {}", *key.secret)?;
    writeln!(
        out,
        "The secret key is not shown again; `rotate-key` makes a new one."
    )?;
    Ok(())
}

fn time(at: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn list(out: &mut dyn Write, principals: &[(Principal, Vec<KeyInfo>)]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (principal, keys) in principals {
        let state = match principal.disabled {
            Some(_) => "disabled",
            None => "enabled",
        };
        let keys: Vec<String> = keys
            .iter()
            .map(|key| match key.expires {
                Some(at) => format!("{} (ends {})", key.id, time(at)),
                None => key.id.clone(),
            })
            .collect();
        rows.push(vec![
            principal.name.clone(),
            state.to_owned(),
            keys.join(", "),
        ]);
    }
    Ok(table::write(out, &["NAME", "STATE", "KEYS"], &rows)?)
}

fn list_json(out: &mut dyn Write, principals: &[(Principal, Vec<KeyInfo>)]) -> Result<(), Failure> {
    let principals: Vec<_> = principals
        .iter()
        .map(|(principal, keys)| {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| {
                    json!({
                        "access_key_id": key.id,
                        "created": time(key.created),
                        "expires": key.expires.map(time),
                    })
                })
                .collect();
            json!({
                "name": principal.name,
                "arn": principal.arn(),
                "created": time(principal.created),
                "disabled": principal.disabled.is_some(),
                "policies": principal.policies.iter().map(|p| &p.name).collect::<Vec<_>>(),
                "tags": principal.tags,
                "access_keys": keys,
            })
        })
        .collect();
    Ok(writeln!(out, "{:#}", json!({ "principals": principals }))?)
}
