//! SHOW TROUBLE.

use super::show::World;
use super::table::{Column, Row, row, text};

pub const TROUBLE: &[Column] = &[
    text("kind"),
    text("database"),
    text("secret"),
    text("since"),
    text("trouble"),
    text("remedy"),
];

/// What is wrong, the worst first.
pub fn trouble(world: &World) -> Vec<Row> {
    let troubles = world.proxy.status().troubles.into_iter();
    troubles
        .map(|t| {
            row![
                t.kind.as_str(),
                t.place.database.as_deref(),
                t.place.secret.as_deref(),
                t.since,
                t.sentence,
                t.remedy,
            ]
        })
        .collect()
}
