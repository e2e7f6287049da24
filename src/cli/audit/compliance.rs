//! `pgvalet audit compliance`: one page with what PCI DSS and SOC 2 ask for.

mod html;
mod page;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::Failure;
use super::files::logs;
use super::moment::moment;
use crate::audit::{Against, History, Report, Source, VersionUse, history, verify};
use crate::config::Config;
use crate::pool::Database;
use crate::secret::schedule::Schedule;
use page::{Credential, Page};

#[derive(clap::Args)]
pub(in crate::cli) struct Compliance {
    /// From when on: 2026-01-31, 2026-01-31T12:00:00Z, or 90d
    #[arg(long, value_parser = moment, default_value = "90d")]
    since: DateTime<Utc>,
    /// The form of the page
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    Text,
    Json,
    Html,
}

pub(super) fn run(c: &Compliance, config: Config, out: &mut dyn Write) -> Result<(), Failure> {
    let unreadable = |e: io::Error| Failure::Failed(format!("the audit log cannot be read: {e}"));
    let log = config.audit.sink.file().map(Path::to_owned);
    let log = log.ok_or_else(|| {
        Failure::Usage("the configuration writes the audit log to standard output".to_owned())
    })?;
    // What is configured is read again by `logs`, which needs no more than the path of the log.
    let (schedules, keep) = (schedules(&config), config.audit.segments.keep);
    let logs = logs(&[], || Ok(config))?;
    let history = history(&logs.log, &logs.beside, Some(c.since), |_| {}).map_err(unreadable)?;
    let checked = verify(&Source::Log(log), &Against::default()).map_err(unreadable)?;
    let page = page(c, history, &checked, &schedules, keep);
    match c.format {
        Form::Text => page.text(out)?,
        Form::Json => {
            serde_json::to_writer_pretty(&mut *out, &page).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Form::Html => html::write(&page, out)?,
    }
    Ok(())
}

/// A secret of the configuration, and when it is rotated.
struct Scheduled {
    secret: String,
    schedule: Option<Schedule>,
}

fn schedules(config: &Config) -> Vec<Scheduled> {
    let of = |(name, database): (&Arc<str>, &Arc<Database>)| {
        let rotation = config.rotations.get(name);
        Scheduled {
            secret: database.secret.as_str().to_owned(),
            schedule: rotation.and_then(|r| r.schedule.clone()),
        }
    };
    config.databases.iter().map(of).collect()
}

fn page(
    c: &Compliance,
    history: History,
    checked: &Report,
    schedules: &[Scheduled],
    keep: Option<Duration>,
) -> Page {
    let now = Utc::now();
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let newest = history.versions.iter().filter(|v| v.newest);
    Page {
        since: text(c.since),
        until: text(now),
        credentials: newest
            .map(|v| credential(v, &history, schedules, now))
            .collect(),
        clients: history.clients,
        denials: history.denials,
        old_in_use: history
            .versions
            .into_iter()
            .filter(|v| !v.newest && !v.held.is_empty())
            .collect(),
        rotations: history.rotations,
        gaps: history.gaps,
        log: page::Log {
            records: checked.records,
            signed: checked.signed,
            first: checked.first.as_ref().map(|p| p.time.clone()),
            key: checked.key.clone(),
            whole: checked.broken.is_none(),
            broken: checked.broken.as_ref().map(ToString::to_string),
            notes: checked.notes.clone(),
            kept_days: keep.map(|keep| keep.as_secs() / 86_400),
        },
    }
}

fn credential(
    version: &VersionUse,
    history: &History,
    schedules: &[Scheduled],
    now: DateTime<Utc>,
) -> Credential {
    let adopted = DateTime::parse_from_rfc3339(&version.adopted).ok();
    let adopted = adopted.map(|time| time.to_utc());
    let scheduled = schedules.iter().find(|s| s.secret == version.secret);
    let schedule = scheduled.and_then(|s| s.schedule.as_ref());
    let due = schedule
        .zip(adopted)
        .and_then(|(schedule, adopted)| Some(schedule.windows(adopted).next()?.closes));
    Credential {
        secret: version.secret.clone(),
        version: version.version.clone(),
        user: version.user.clone(),
        adopted: version.adopted.clone(),
        age_days: adopted.map(|at| (now - at).num_days()),
        due: due.map(|due| due.to_rfc3339_opts(SecondsFormat::Secs, true)),
        overdue: due.is_some_and(|due| due < now),
        rotated: (history.rotations.iter().rev())
            .find(|r| r.secret == version.secret && r.outcome == "success")
            .map(|r| r.ended.clone()),
        clients: version.clients.keys().cloned().collect(),
    }
}
