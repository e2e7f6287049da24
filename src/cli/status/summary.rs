//! What is wrong, first, and then a line for each database.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::admin::{DatabaseStatus, Status, Trouble, TroubleKind};
use crate::audit::printable;
use crate::base::duration;
use crate::cli::table;
use crate::cli::words::{count, shorten, wrap};

/// Databases without trouble that are shown where there are many.
const SHOWN: usize = 40;

pub(super) fn show(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", head(status))?;
    if !status.troubles.is_empty() {
        writeln!(out)?;
        troubles(status, out)?;
    }
    writeln!(out)?;
    databases(status, table::width(), out)
}

fn head(status: &Status) -> String {
    let ready = if status.ready { "ready" } else { "not ready" };
    let verdict = match status.troubles.len() {
        0 if !status.ready => status.unready.clone().unwrap_or_default(),
        0 => "nothing is wrong".to_owned(),
        n => count(n, "trouble"),
    };
    let up = elapsed(&status.started_at).map_or_else(String::new, |up| format!(", up {up}"));
    format!(
        "pgvalet {}, process {}{up}: {ready}, {verdict}",
        status.version, status.pid
    )
}

/// Each trouble: what, since when, and what to do.
pub(in crate::cli) fn troubles(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let width = table::width();
    for (at, trouble) in status.troubles.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        for line in trouble_lines(trouble, width) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn trouble_lines(trouble: &Trouble, width: usize) -> Vec<String> {
    let ago = elapsed(&trouble.since).map_or_else(String::new, |ago| format!(" ({ago})"));
    let mut lines = vec![format!("{} since {}{ago}", trouble.kind, trouble.since)];
    lines.extend(wrap(&printable(&trouble.sentence), width, "  "));
    lines.extend(wrap(
        &printable(&format!("-> {}", trouble.remedy)),
        width,
        "  ",
    ));
    lines
}

/// The time since then, in words.
fn elapsed(since: &str) -> Option<String> {
    let since = DateTime::parse_from_rfc3339(since).ok()?;
    let elapsed = Utc::now().signed_duration_since(since);
    let elapsed = elapsed.to_std().unwrap_or(Duration::ZERO);
    Some(duration::words(Duration::from_secs(
        elapsed.as_secs().max(1),
    )))
}

/// Those with trouble first; of many others, as many as fit a screen.
fn databases(status: &Status, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut all: Vec<_> = status
        .databases
        .iter()
        .map(|d| (state(d, status), d))
        .collect();
    all.sort_by_key(|(state, _)| match *state {
        None => 2,
        Some(DRAINS) => 1,
        Some(_) => 0,
    });
    let troubled = all.iter().filter(|(state, _)| state.is_some()).count();
    let shown = all.len().min(troubled.max(SHOWN));
    let longest = |text: fn(&DatabaseStatus) -> &str| {
        let texts = status.databases.iter().map(|d| text(d).chars().count());
        texts.max().unwrap_or(0)
    };
    // What is left by the other columns is shared by the two names.
    let left = width.saturating_sub(FIXED);
    let of_secret = longest(|d| &d.secret).min((left / 2).max(10));
    let of_name = longest(|d| &d.name).min(left.saturating_sub(of_secret).max(10));
    let row = |(state, d): &(Option<&'static str>, &DatabaseStatus)| {
        let servers = d.servers.active + d.servers.idle + d.servers.opening;
        let in_force = d.generations.iter().find(|g| g.draining_since.is_none());
        let version = in_force.map_or("-", |g| &*g.version);
        vec![
            shorten(&d.name, of_name),
            state.unwrap_or("ok").to_owned(),
            d.clients.to_string(),
            d.waiting.to_string(),
            format!("{servers}/{}", d.pool_size),
            version.chars().take(8).collect(),
            shorten(&d.secret, of_secret),
        ]
    };
    let rows: Vec<_> = all[..shown].iter().map(row).collect();
    table::write(out, &HEAD, &rows)?;
    let left = all.len() - shown;
    if left > 0 {
        writeln!(
            out,
            "and {} more, without trouble: pgvalet status --all",
            count(left, "database")
        )?;
    }
    shares(all[..shown].iter().map(|(_, d)| *d), out)
}

/// The share of each database that has a ceiling for all replicas.
fn shares<'a>(
    databases: impl Iterator<Item = &'a DatabaseStatus>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (n, (d, fleet)) in databases.filter_map(|d| Some((d, d.fleet?))).enumerate() {
        if n == 0 {
            writeln!(out)?;
        }
        let share = match fleet.held {
            true => format!("this replica may have {}", fleet.share),
            false => "this replica has no share now".to_owned(),
        };
        writeln!(
            out,
            "{}: {share} of fleet_size = {}, which {} share",
            d.name,
            fleet.size,
            count(fleet.replicas, "replica")
        )?;
    }
    Ok(())
}

const HEAD: [&str; 7] = [
    "DATABASE", "STATE", ">CLIENTS", ">WAITING", ">SERVERS", "VERSION", "SECRET",
];
/// The columns but for the two names, with the spaces between all.
const FIXED: usize = 11 + 7 + 7 + 7 + 8 + 6 * 2;

/// What is usual in a rotation, and no trouble.
const DRAINS: &str = "drains";

/// In one word, what is wrong with a database, or that it drains; `None` where all is well.
fn state(database: &DatabaseStatus, status: &Status) -> Option<&'static str> {
    let mut troubles = status.troubles.iter();
    let own = troubles.find(|t| match (&t.place.database, &t.place.secret) {
        (Some(name), _) => *name == database.name,
        (None, Some(secret)) => *secret == database.secret,
        (None, None) => false,
    });
    let drains = || {
        database
            .generations
            .iter()
            .any(|g| g.draining_since.is_some())
    };
    match own {
        Some(trouble) => Some(trouble.kind.short()),
        // Before it has lasted so long that it is a trouble.
        None if database.paused => Some(TroubleKind::DatabasePaused.short()),
        None if drains() => Some(DRAINS),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::FleetStatus;
    use crate::admin::examples::{rotating, troubled};

    fn text(status: &Status, width: usize) -> String {
        let mut out = Vec::new();
        databases(status, width, &mut out).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_trouble_says_what_since_when_and_what_to_do_in_80_columns() {
        let status = troubled();
        let lines = trouble_lines(&status.troubles[0], 80);
        assert!(lines[0].starts_with("database_down since 2026-01-02T04:00:00Z ("));
        assert_eq!(
            lines[1..],
            [
                "  database billing is down: cannot reach db.example.org:5432/billing: Connection",
                "  refused",
                "  -> see to it"
            ]
        );
    }

    #[test]
    fn databases_with_trouble_come_first() {
        let shown = text(&troubled(), 80);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("billing   down  "), "{shown}");
        assert!(lines[2].starts_with("orders    drains"), "{shown}");
        assert!(lines.iter().all(|l| l.len() <= 80), "{shown}");
        assert!(head(&troubled()).ends_with("ready, 2 troubles"));
        assert!(head(&rotating()).ends_with("ready, nothing is wrong"));
    }

    #[test]
    fn the_share_of_a_replica_is_told() {
        let mut status = troubled();
        assert!(!text(&status, 80).contains("fleet_size"));
        let name = status.databases[0].name.clone();
        let fleet = FleetStatus {
            size: 12,
            share: 5,
            demand: 7,
            replicas: 3,
            held: true,
        };
        status.databases[0].fleet = Some(fleet);
        let told = format!(
            "\n{name}: this replica may have 5 of fleet_size = 12, which 3 replicas share\n"
        );
        let shown = text(&status, 80);
        assert!(shown.ends_with(&told), "{shown}");
        status.databases[0].fleet = Some(FleetStatus {
            held: false,
            ..fleet
        });
        assert!(text(&status, 80).contains("has no share now of fleet_size = 12"));
    }

    #[test]
    fn a_paused_database_is_called_so_at_once() {
        let mut status = rotating();
        status.databases[0].paused = true;
        assert_eq!(state(&status.databases[0], &status), Some("paused"));
    }

    #[test]
    fn many_databases_with_long_names_fit() {
        let mut status = troubled();
        let one = status.databases[0].clone();
        status.databases.extend((0..200).map(|n| DatabaseStatus {
            name: format!("a-database-with-quite-a-long-name-{n}").into(),
            secret: format!("production/eu-central-1/team-{n}/a-secret").into(),
            generations: vec![],
            ..one.clone()
        }));
        let shown = text(&status, 80);
        assert!(shown.lines().all(|l| l.chars().count() <= 80), "{shown}");
        assert_eq!(shown.lines().count(), SHOWN + 2);
        assert!(shown.ends_with("and 162 databases more, without trouble: pgvalet status --all\n"));
    }
}
