//! One frame of the live view.

use std::time::Duration;

use super::Picture;
use super::chart::{chart, versions};
use super::paint::{Ink, Line, with_thousands};
use crate::cli::demo::journal::millis;
use crate::cli::demo::workload;
use crate::observe::{DatabaseStatus, GenerationStatus};

/// Lines that are always there, however small the terminal.
const MARGIN: &str = "  ";
/// Wider than this is not easier to read.
const WIDEST: usize = 112;
/// Of a database: the version in force and so many that drain. Fixed, so that
/// nothing moves when one comes or goes.
const GENERATIONS: usize = 3;

/// At most `height` lines, to be cut to `width`.
pub fn frame(picture: &Picture, width: usize, height: usize) -> Vec<Line> {
    let width = width.min(WIDEST);
    let mut lines = vec![Line::new(), title(picture, width), Line::new()];
    lines.extend(throughput(picture, width));
    lines.push(Line::new());
    lines.extend(numbers(picture));
    for database in picture.status.iter().flat_map(|s| &s.databases) {
        lines.push(Line::new());
        lines.extend(pool(picture, database));
    }
    lines.push(Line::new());
    let footer = [Line::new(), footer(picture)];
    let room = height.saturating_sub(lines.len() + footer.len());
    lines.extend(events(picture, room.min(8)));
    lines.extend(footer);
    lines.truncate(height);
    lines
}

fn title(picture: &Picture, width: usize) -> Line {
    let clients = format!(
        "{} clients, not one of them has a password",
        workload::COUNT
    );
    let (elapsed, length) = (picture.elapsed.min(picture.length), picture.length);
    let clock = format!("{} of {} s", elapsed.as_secs(), length.as_secs());
    Line::new()
        .add(Ink::Strong, format!("{MARGIN}pgvalet demo"))
        .add(Ink::Faint, format!("   {clients}"))
        .to(width.saturating_sub(clock.len() + MARGIN.len()))
        .add(Ink::Plain, clock)
}

fn throughput(picture: &Picture, width: usize) -> Vec<Line> {
    let columns = width.saturating_sub(2 * MARGIN.len());
    let rate = with_thousands(picture.rate_now().round() as u64);
    let total = with_thousands(picture.totals.transactions);
    let head = Line::new()
        .add(Ink::Strong, format!("{MARGIN}{rate}"))
        .add(Ink::Plain, " transactions a second")
        .add(Ink::Faint, format!("   {total} in total"));
    let mut lines = vec![head];
    let indented = chart(picture, columns, 3).into_iter();
    lines.extend(indented.chain([versions(picture, columns)]).map(indent));
    lines
}

fn indent(line: Line) -> Line {
    Line::new().add(Ink::Plain, MARGIN).join(line)
}

fn numbers(picture: &Picture) -> Vec<Line> {
    let totals = picture.totals;
    let errors = match totals.errors {
        0 => Ink::Good,
        _ => Ink::Bad,
    };
    let adopted = picture.entries.adoptions().count();
    let last = picture.entries.rotations.iter().rev().find_map(|r| {
        let took = millis(r.adoption()?);
        Some(format!(
            "   the last {}, adopted in {took}",
            r.order.words()
        ))
    });
    let number = |n: u64| format!("{:>7}", with_thousands(n));
    let row = |name: &str| Line::new().add(Ink::Faint, format!("{MARGIN}{name:<12}"));
    vec![
        row("errors").add(errors, number(totals.errors)),
        row("connections")
            .add(Ink::Plain, number(totals.connections))
            .add(Ink::Faint, "   opened by clients"),
        row("rotations")
            .add(Ink::Plain, number(adopted as u64))
            .add(Ink::Faint, last.unwrap_or_default()),
    ]
}

fn pool(picture: &Picture, database: &DatabaseStatus) -> Vec<Line> {
    let about = format!(
        "{} pooling, {} clients, at most {} connections to Postgres",
        database.pool_mode, database.clients, database.pool_size
    );
    let mut lines = vec![
        Line::new()
            .add(Ink::Strong, format!("{MARGIN}{:<9}", database.name))
            .add(Ink::Faint, about),
    ];
    let mut rows: Vec<Line> = database
        .generations
        .iter()
        .map(|g| generation(picture, g))
        .collect();
    rows.resize(GENERATIONS, Line::new());
    lines.extend(rows);
    lines
}

fn generation(picture: &Picture, generation: &GenerationStatus) -> Line {
    let number = picture.entries.number(&generation.version);
    let colour = Ink::Version(number);
    let id: String = generation.version.chars().take(8).collect();
    let drains = generation.draining_since.is_some();
    let (state, ink) = if drains {
        ("draining", Ink::Faint)
    } else {
        ("in force", Ink::Plain)
    };
    let mut line = Line::new()
        .add(colour, format!("{MARGIN}● v{number:<3}"))
        .add(Ink::Faint, format!("{id:<10}"))
        .add(ink, format!("{state:<11}"))
        .add(colour, "■".repeat(generation.active))
        .add(colour, "□".repeat(generation.idle))
        .to(45)
        .add(Ink::Plain, format!("{:>2} active", generation.active))
        .add(Ink::Faint, format!("  {:>2} idle", generation.idle));
    if drains {
        let mut holders: Vec<&str> = generation.holders.iter().map(|h| &*h.client).collect();
        holders.dedup();
        if !holders.is_empty() {
            line = line.add(Ink::Faint, format!("   held by {}", holders.join(", ")));
        }
    }
    line
}

/// The latest last, at the same place from the beginning.
fn events(picture: &Picture, room: usize) -> Vec<Line> {
    let events = &picture.entries.events;
    let mut lines: Vec<Line> = events
        .iter()
        .skip(events.len().saturating_sub(room))
        .map(|(at, what)| event(*at, what))
        .collect();
    lines.resize(room, Line::new());
    lines
}

fn event(at: Duration, what: &str) -> Line {
    Line::new()
        .add(
            Ink::Faint,
            format!("{MARGIN}{:>5.1} s   ", at.as_secs_f64()),
        )
        .add(Ink::Plain, what)
}

fn footer(picture: &Picture) -> Line {
    let psql = format!("psql -h 127.0.0.1 -p {} orders", picture.port);
    let page = format!("http://127.0.0.1:{}", picture.admin_port);
    Line::new()
        .add(Ink::Faint, format!("{MARGIN}join in  "))
        .add(Ink::Plain, psql)
        .add(Ink::Faint, "   status  ")
        .add(Ink::Plain, page)
        .add(Ink::Faint, "   Ctrl-C ends it")
}
