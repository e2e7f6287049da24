//! Answers for people, and in the shape of the Secrets Manager API for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::cli::table;
use crate::secret::{Description, SecretValue, VersionId};

/// Timestamps as the API has them: seconds since the Unix epoch.
fn epoch(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_millis() as f64 / 1000.0)
}

pub fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

type Versions<'a> = BTreeMap<&'a str, &'a [String]>;

fn versions(versions: &BTreeMap<VersionId, Vec<String>>) -> Versions<'_> {
    versions
        .iter()
        .map(|(version, labels)| (version.as_str(), labels.as_slice()))
        .collect()
}

/// Fields that are absent are left out, never null.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_changed_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_date: Option<f64>,
    /// The versions, under DescribeSecret's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_ids_to_stages: Option<Versions<'a>>,
    /// The versions, under the name of ListSecrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_versions_to_stages: Option<Versions<'a>>,
}

impl<'a> Entry<'a> {
    fn new(secret: &'a Description) -> Self {
        Self {
            arn: &secret.arn,
            name: &secret.name,
            description: secret.description.as_deref(),
            last_changed_date: secret.last_changed.map(epoch),
            deleted_date: secret.deleted.map(epoch),
            created_date: secret.created.map(epoch),
            version_ids_to_stages: None,
            secret_versions_to_stages: None,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    // Text keys and finite numbers only: there is nothing that could fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// What is wrong with a policy, as ValidateResourcePolicy answers it.
pub fn findings_json(findings: &[(String, String)]) -> String {
    let errors = findings
        .iter()
        .map(|(check, message)| serde_json::json!({ "CheckName": check, "ErrorMessage": message }));
    json(&serde_json::json!({
        "PolicyValidationPassed": findings.is_empty(),
        "ValidationErrors": errors.collect::<Vec<_>>(),
    }))
}

pub fn describe_json(secret: &Description) -> String {
    json(&Entry {
        version_ids_to_stages: Some(versions(&secret.versions)),
        ..Entry::new(secret)
    })
}

pub fn list_json(secrets: &[Description]) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct List<'a> {
        secret_list: Vec<Entry<'a>>,
    }
    json(&List {
        secret_list: secrets
            .iter()
            .map(|secret| Entry {
                secret_versions_to_stages: Some(versions(&secret.versions)),
                ..Entry::new(secret)
            })
            .collect(),
    })
}

pub fn describe(secret: &Description) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<13}{value}");
    };
    line("Name", &secret.name);
    line("ARN", &secret.arn);
    if let Some(description) = &secret.description {
        line("Description", description);
    }
    for (name, at) in [
        ("Created", secret.created),
        ("Changed", secret.last_changed),
        ("Deleted", secret.deleted),
    ] {
        if let Some(at) = at {
            line(name, &time(at));
        }
    }
    for (version, labels) in &secret.versions {
        line("Version", &format!("{version}  {}", labels.join(", ")));
    }
    text
}

/// A version without its value.
pub fn version(found: &SecretValue) -> String {
    let mut text = format!(
        "Name         {}\nVersion      {}\nStages       {}\n",
        found.name,
        found.version,
        found.stages.join(", ")
    );
    if let Some(created) = found.created {
        let _ = writeln!(text, "Created      {}", time(created));
    }
    text.push_str("Value        hidden; --reveal prints it\n");
    text
}

/// A version without its value, in the shape of GetSecretValue.
pub fn version_json(found: &SecretValue) -> String {
    let value = serde_json::json!({
        "ARN": &*found.arn,
        "Name": &*found.name,
        "VersionId": found.version.as_str(),
        "VersionStages": found.stages,
        "CreatedDate": found.created.map(epoch),
    });
    format!("{value:#}\n")
}

pub fn list(secrets: &[Description]) -> String {
    let row = |secret: &Description| {
        let changed = secret.last_changed.or(secret.created).map(time);
        let current = secret.version_with(crate::secret::AWSCURRENT);
        vec![
            secret.name.to_string(),
            changed.unwrap_or_else(|| "-".to_owned()),
            current.map_or("-", VersionId::as_str).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = secrets.iter().map(row).collect();
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    let _ = table::write(&mut text, &["NAME", "?CHANGED", "#CURRENT VERSION"], &rows);
    String::from_utf8_lossy(&text).into_owned()
}

/// The value and a newline, without a copy of it on the way.
pub fn reveal(out: &mut dyn Write, value: &str) -> io::Result<()> {
    out.write_all(value.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
