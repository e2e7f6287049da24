//! SHOW SECRETS, GENERATIONS, DRAINS and ROTATIONS.

use super::show::World;
use super::table::{Column, Row, int4, row, text};

pub const SECRETS: &[Column] = &[
    text("secret"),
    text("version"),
    text("stages"),
    text("user"),
    text("adopted_at"),
    text("adopted_as"),
    text("confirmed_at"),
    text("next_rotation"),
    text("error"),
];

pub fn secrets(world: &World) -> Vec<Row> {
    let secrets = world.proxy.status().secrets.into_iter();
    secrets
        .map(|s| {
            row![
                &*s.secret,
                s.version.as_deref(),
                s.stages.join(", "),
                s.user.as_deref(),
                s.adopted_at,
                s.adopted_as.as_deref(),
                s.confirmed_at,
                s.next_rotation,
                s.last_error,
            ]
        })
        .collect()
}

pub const GENERATIONS: &[Column] = &[
    text("database"),
    text("secret"),
    int4("generation"),
    text("version"),
    text("stages"),
    text("user"),
    text("state"),
    int4("active"),
    int4("idle"),
    text("adopted_at"),
    text("draining_since"),
];

pub fn generations(world: &World) -> Vec<Row> {
    let mut rows = Vec::new();
    for database in world.proxy.status().databases {
        for g in database.generations {
            let state = match g.draining_since {
                Some(_) => "draining",
                None => "in force",
            };
            rows.push(row![
                &*database.name,
                &*database.secret,
                g.number,
                &*g.version,
                g.stages.join(", "),
                &*g.user,
                state,
                g.active,
                g.idle,
                g.adopted_at,
                g.draining_since,
            ]);
        }
    }
    rows
}

pub const DRAINS: &[Column] = &[
    text("database"),
    text("secret"),
    int4("generation"),
    text("version"),
    text("draining_since"),
    int4("connections"),
    int4("id"),
    text("client"),
    text("source"),
    text("since"),
    text("reason"),
];

/// A row for each session that keeps a connection of an older version: KILL_CLIENT ends it by its
/// id. A generation that nobody keeps has one without.
pub fn drains(world: &World) -> Vec<Row> {
    let mut rows = Vec::new();
    for database in world.proxy.status().databases {
        for g in database.generations {
            let Some(since) = &g.draining_since else {
                continue;
            };
            let head = row![
                &*database.name,
                &*database.secret,
                g.number,
                &*g.version,
                since.as_str(),
                g.active + g.idle,
            ];
            let none = row![
                None::<u64>,
                None::<&str>,
                None::<&str>,
                None::<&str>,
                None::<&str>
            ];
            let mut holders: Vec<Row> = (g.holders.iter())
                .map(|h| {
                    let id = h.session.parse::<u64>().ok();
                    row![
                        id,
                        &*h.client,
                        &*h.source,
                        h.since.as_str(),
                        h.reason.as_str()
                    ]
                })
                .collect();
            if holders.is_empty() {
                holders.push(none);
            }
            rows.extend(holders.into_iter().map(|h| [head.clone(), h].concat()));
        }
    }
    rows
}

pub const ROTATIONS: &[Column] = &[
    text("secret"),
    text("version"),
    text("stages"),
    text("next_rotation"),
];

/// The secrets that pgvalet rotates.
pub fn rotations(world: &World) -> Vec<Row> {
    let secrets = world.proxy.status().secrets.into_iter();
    let rotated = secrets.filter(|s| s.next_rotation.is_some());
    rotated
        .map(|s| {
            row![
                &*s.secret,
                s.version.as_deref(),
                s.stages.join(", "),
                s.next_rotation,
            ]
        })
        .collect()
}
