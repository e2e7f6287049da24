//! The pools in a frame of the live view, with the connections of each version.

use super::Picture;
use super::frame::MARGIN;
use super::paint::{Ink, Line};
use crate::admin::{DatabaseStatus, GenerationStatus, Holder};

/// Lines for a database: the version in force and one that drains. They are reserved, so that
/// nothing moves when one comes or goes.
const GENERATIONS: usize = 2;

/// The pool of a database: a line about it, and one for each generation.
pub(super) fn pool(picture: &Picture, database: &DatabaseStatus, width: usize) -> Vec<Line> {
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
        .map(|g| generation(picture, g, width))
        .collect();
    rows.resize(rows.len().max(GENERATIONS), Line::new());
    lines.extend(rows);
    lines
}

fn generation(picture: &Picture, generation: &GenerationStatus, width: usize) -> Line {
    let number = picture.entries.number(&generation.version);
    let colour = Ink::Version(number);
    let id: String = generation.version.chars().take(8).collect();
    let drains = generation.draining_since.is_some();
    let (state, ink) = if drains {
        ("draining", Ink::Faint)
    } else {
        ("in force", Ink::Plain)
    };
    let line = Line::new()
        .add(colour, format!("{MARGIN}● v{number:<3}"))
        .add(Ink::Faint, format!("{id:<10}"))
        .add(ink, format!("{state:<11}"))
        .add(colour, "■".repeat(generation.active))
        .add(colour, "□".repeat(generation.idle))
        .to(41)
        .add(Ink::Plain, format!("{:>2} active", generation.active))
        .add(Ink::Faint, format!("  {:>2} idle", generation.idle));
    match drains {
        true => held_by(line, &generation.holders, width),
        false => line,
    }
}

/// Adds who holds connections of an old version; with the reasons, if there is room for them.
fn held_by(line: Line, holders: &[Holder], width: usize) -> Line {
    let list = |words: &dyn Fn(&Holder) -> String| {
        let mut holders: Vec<String> = holders.iter().map(words).collect();
        holders.dedup();
        format!("   held by {}", holders.join(", "))
    };
    let long = list(&|h| format!("{} ({})", h.client, h.reason));
    let short = list(&|h| h.client.to_string());
    match line.width() + long.chars().count() <= width {
        _ if holders.is_empty() => line,
        true => line.add(Ink::Faint, long),
        false => line.add_if_it_fits(width, Ink::Faint, &short),
    }
}
