//! The status of a proxy as tables for people.

use std::io::{self, Write};

use crate::admin::{Candidate, DatabaseStatus, GenerationStatus, SecretStatus, Status};
use crate::cli::table;

pub(super) fn show(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    let rows: Vec<_> = status.databases.iter().map(database).collect();
    let head = [
        "DATABASE",
        "?SECRET",
        "?MODE",
        ">CLIENTS",
        ">WAITING",
        ">ACTIVE",
        ">IDLE",
        "?>OPENING",
        ">SIZE",
        "?>SHARE",
        "LAST ERROR",
    ];
    table::write(out, &head, &rows)?;
    let rows: Vec<_> = status
        .databases
        .iter()
        .flat_map(|d| d.generations.iter().map(|g| generation(d, g)))
        .collect();
    let head = [
        "DATABASE",
        ">GENERATION",
        "#VERSION",
        "STAGES",
        "?USER",
        ">ACTIVE",
        ">IDLE",
        "?ADOPTED",
        "DRAINING SINCE",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)?;
    holders(status, out)?;
    let rows: Vec<_> = status.secrets.iter().map(secret).collect();
    let head = [
        "SECRET",
        "#VERSION",
        "?STAGES",
        "?USER",
        "?ADOPTED AS",
        "?CONFIRMED",
        "NEXT ROTATION",
        "LAST ERROR",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)?;
    failed(status, out)
}

/// Versions that did not log in since the one in force was adopted, or while there is none.
/// What failed on the way to that one is over, and only `--json` still has it.
fn failed(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for s in &status.secrets {
        // Both are RFC 3339 in UTC with the same precision, which sort as text.
        let is_over = |c: &&Candidate| s.adopted_at.as_ref().is_some_and(|at| c.at <= *at);
        let candidates = s.candidates_tried.iter().filter(|c| !is_over(c));
        rows.extend(candidates.map(|c| {
            vec![
                s.secret.to_string(),
                c.version.to_string(),
                c.standing.to_string(),
                c.at.clone(),
                c.why.to_string(),
            ]
        }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["SECRET", "#FAILED VERSIONS", "AS", "AT", "BECAUSE"];
    table::write(out, &head, &rows)
}

fn database(d: &DatabaseStatus) -> Vec<String> {
    vec![
        d.name.to_string(),
        d.secret.to_string(),
        d.pool_mode.clone(),
        d.clients.to_string(),
        d.waiting.to_string(),
        d.servers.active.to_string(),
        d.servers.idle.to_string(),
        d.servers.opening.to_string(),
        d.pool_size.to_string(),
        d.fleet
            .map_or_else(|| "-".to_owned(), |f| format!("{}/{}", f.share, f.size)),
        or_dash(d.last_error.as_deref()),
    ]
}

fn generation(d: &DatabaseStatus, g: &GenerationStatus) -> Vec<String> {
    vec![
        d.name.to_string(),
        g.number.to_string(),
        g.version.to_string(),
        or_dash(Some(&g.stages.join(","))),
        g.user.to_string(),
        g.active.to_string(),
        g.idle.to_string(),
        g.adopted_at.clone(),
        or_dash(g.draining_since.as_deref()),
    ]
}

/// Who keeps old versions in use: the question that a drain raises.
fn holders(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for d in &status.databases {
        for g in &d.generations {
            rows.extend(g.holders.iter().map(|h| {
                vec![
                    d.name.to_string(),
                    g.number.to_string(),
                    h.client.to_string(),
                    h.source.to_string(),
                    h.session.to_string(),
                    h.since.clone(),
                    h.reason.clone(),
                ]
            }));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let head = [
        "DATABASE",
        ">GENERATION",
        "HELD BY",
        "?FROM",
        "SESSION",
        "?SINCE",
        "BECAUSE",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)
}

fn secret(s: &SecretStatus) -> Vec<String> {
    vec![
        s.secret.to_string(),
        or_dash(s.version.as_deref()),
        or_dash(Some(&s.stages.join(","))),
        or_dash(s.user.as_deref()),
        or_dash(s.adopted_as.as_deref()),
        or_dash(s.confirmed_at.as_deref()),
        or_dash(s.next_rotation.as_deref()),
        or_dash(s.last_error.as_deref()),
    ]
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|t| !t.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::examples::rotating;

    #[test]
    fn a_rotation_can_be_read_off_the_tables() {
        let mut out = Vec::new();
        show(&rotating(), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let has = |words: &[&str]| {
            let found = text
                .lines()
                .any(|l| l.split_whitespace().collect::<Vec<_>>() == words);
            assert!(found, "{words:?} is missing in:\n{text}");
        };
        has(&[
            "orders",
            "prod/orders",
            "transaction",
            "7",
            "0",
            "2",
            "4",
            "0",
            "20",
            "-",
            "-",
        ]);
        has(&[
            "orders",
            "2",
            "22222222-bbbb",
            "AWSCURRENT",
            "app",
            "1",
            "2",
            "2026-01-02T03:04:05Z",
            "-",
        ]);
        has(&[
            "orders",
            "1",
            "orders-api",
            "10.0.0.1:5",
            "s-1",
            "2026-01-02T03:59:00Z",
            "in",
            "a",
            "transaction",
        ]);
        assert!(
            text.contains("33333333-cccc    AWSPENDING  2026-01-02T04:00:10Z"),
            "{text}"
        );
        assert!(text.contains("SECRET       FAILED VERSIONS "), "{text}");
        assert!(text.contains("2026-02-01T03:17:00Z  the store did not answer"));
    }

    /// What failed before a version was adopted is over with the adoption.
    #[test]
    fn versions_that_failed_are_forgotten_once_one_is_adopted() {
        let mut status = rotating();
        let mut shown = |adopted_at: Option<&str>| {
            status.secrets[0].adopted_at = adopted_at.map(str::to_owned);
            let mut out = Vec::new();
            show(&status, &mut out).expect("written");
            String::from_utf8(out)
                .expect("UTF-8")
                .contains("FAILED VERSIONS")
        };
        assert!(shown(None));
        assert!(shown(Some("2026-01-02T04:00:09Z")));
        assert!(!shown(Some("2026-01-02T04:00:10Z")));
        assert!(!shown(Some("2026-01-02T04:00:11Z")));
    }
}
