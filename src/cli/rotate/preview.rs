//! `pgvalet rotate --dry-run`.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{Args, plan};
use crate::cli::Failure;
use crate::config::Config;
use crate::rotation::{Plan, Preview, Rotation};
use crate::secret::schedule::{Window, timing};
use crate::secret::{SecretId, Stores};

/// How many of the next rotations are shown.
const RUNS: usize = 3;

/// Shows the secret that is named, or every one that the configuration says how to rotate.
pub(super) async fn run(
    args: &Args,
    config: &Config,
    stores: &Stores,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let secrets: Vec<SecretId> = match &args.secret {
        Some(name) => vec![config.stores.secret(name)],
        None => config
            .databases
            .values()
            .filter(|d| config.rotation(d).is_some())
            .map(|d| d.secret.clone())
            .collect(),
    };
    if secrets.is_empty() {
        writeln!(out, "no [database.NAME] has rotation = {{ … }}")?;
    }
    let mut failed = false;
    for secret in secrets {
        let rotatable = stores.of(&secret).and_then(|s| s.rotatable().map(|_| ()));
        rotatable?;
        let plan = plan(args, config, stores, &secret).await?;
        let rotation = config.rotations.get(&plan.database.name);
        match Preview::of(&plan, stores).await {
            Ok(preview) if args.json => json_of(&plan, &preview, rotation, out)?,
            Ok(preview) => show(&plan, &preview, rotation, out)?,
            Err(e) => {
                failed = true;
                writeln!(out, "{secret}: {e}")?;
            }
        }
    }
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

fn runs(rotation: Option<&Rotation>, preview: &Preview) -> Vec<(DateTime<Utc>, Window)> {
    let now = Utc::now();
    let last = preview.changed.unwrap_or(now);
    let ours = rotation.filter(|_| preview.left_to.is_none());
    let Some((schedule, freeze)) = ours.and_then(|r| Some((r.schedule.as_ref()?, &r.freeze)))
    else {
        return Vec::new();
    };
    timing::upcoming(schedule, freeze, last, now, &preview.arn, RUNS)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn json_of(
    plan: &Plan,
    preview: &Preview,
    rotation: Option<&Rotation>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let runs: Vec<_> = runs(rotation, preview)
        .into_iter()
        .map(|(at, window)| {
            json!({"at": time(at), "opens": time(window.opens), "closes": time(window.closes)})
        })
        .collect();
    let line = json!({
        "secret": plan.secret.as_str(),
        "database": plan.database.name,
        "strategy": preview.strategy.name(),
        "admin_secret": preview.admin_secret.as_ref().map(SecretId::as_str),
        "version": preview.current.as_str(),
        "user": preview.user,
        "next_user": preview.next_user,
        "changed": preview.changed.map(time),
        "left_to": preview.left_to,
        "pending": preview.pending.as_ref().map(|(version, _)| version.as_str()),
        "runs": runs,
    });
    writeln!(out, "{line}")
}

fn show(
    plan: &Plan,
    preview: &Preview,
    rotation: Option<&Rotation>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{} ([database.{}])", plan.secret, plan.database.name)?;
    let changed = preview.changed.map_or_else(|| "?".to_owned(), time);
    writeln!(
        out,
        "  now        version {}, of {changed}, user \"{}\"",
        preview.current, preview.user
    )?;
    if let Some(by) = &preview.left_to {
        return writeln!(
            out,
            "  would do   nothing: it is rotated by {by}, and pgvalet only follows it"
        );
    }
    let by = match &preview.admin_secret {
        Some(admin) => format!("by the user of secret \"{admin}\""),
        None => "by the user itself".to_owned(),
    };
    let what = match preview.next_user == preview.user {
        true => format!("a new password for \"{}\"", preview.user),
        false => format!("\"{}\" takes over with a new password", preview.next_user),
    };
    writeln!(
        out,
        "  would do   {what}, {by} ({})",
        preview.strategy.name()
    )?;
    pending(preview, out)?;
    next_runs(rotation, preview, out)?;
    if rotation.is_some_and(|r| r.approve && r.schedule.is_some()) {
        let secret = &plan.secret;
        writeln!(
            out,
            "  approval   each waits for: pgvalet rotation approve {secret}"
        )?;
    }
    Ok(())
}

/// Says whether an earlier attempt left a version in AWSPENDING.
fn pending(preview: &Preview, out: &mut dyn Write) -> io::Result<()> {
    let Some((version, begun)) = &preview.pending else {
        return Ok(());
    };
    let what = match begun {
        true => "an earlier attempt would be completed",
        false => "requested, and not begun",
    };
    writeln!(out, "  pending    version {version}: {what}")
}

fn next_runs(
    rotation: Option<&Rotation>,
    preview: &Preview,
    out: &mut dyn Write,
) -> io::Result<()> {
    let runs = runs(rotation, preview);
    if rotation.is_none_or(|r| r.schedule.is_none()) {
        writeln!(out, "  next runs  none: there is no schedule")?;
    }
    for (n, (at, window)) in runs.iter().enumerate() {
        let head = if n == 0 { "next runs" } else { "" };
        writeln!(
            out,
            "  {head:9}  {}  (window {} to {})",
            time(*at),
            time(window.opens),
            time(window.closes)
        )?;
    }
    Ok(())
}
