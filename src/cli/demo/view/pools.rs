//! The pools in a frame of the live view, with the connections of each version.

use super::Picture;
use super::frame::MARGIN;
use super::paint::{Ink, Line};
use crate::admin::{DatabaseStatus, GenerationStatus, Holder};

/// Lines for a database: the version in force and one that drains. They are reserved, so that
/// nothing moves when one comes or goes.
const GENERATIONS: usize = 2;

/// The pool of a database: a line about it, and one for each generation.
pub(super) fn pool(picture: &Picture, database: &DatabaseStatus) -> Vec<Line> {
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
    rows.resize(rows.len().max(GENERATIONS), Line::new());
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
        let words = |h: &Holder| format!("{} ({})", h.client, h.reason);
        let mut holders: Vec<String> = generation.holders.iter().map(words).collect();
        holders.dedup();
        if !holders.is_empty() {
            line = line.add(Ink::Faint, format!("   held by {}", holders.join(", ")));
        }
    }
    line
}
