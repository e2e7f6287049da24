//! `rotation = { … }` of a database.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::problems::Problems;
use super::section::Section;
use crate::pool::Database;
use crate::rotation::{Rotation, Strategy};
use crate::secret::SecretId;
use crate::secret::schedule::{Freeze, Freezes, Schedule, ScheduleError};

pub(super) fn rotation(s: &mut Section<'_, '_>) -> Option<Rotation> {
    let mut s = s.inner("rotation")?;
    let rotation = Rotation {
        schedule: schedule(&mut s),
        freeze: freeze(&mut s),
        approve: s.boolean("approve"),
        canary: s.number("canary").unwrap_or(0),
        strategy: s.word("strategy", &Strategy::ALL),
        admin_secret: s.secret("admin_secret"),
        plaintext: s.boolean("plaintext"),
    };
    s.finish();
    Some(rotation)
}

fn schedule(s: &mut Section<'_, '_>) -> Option<Schedule> {
    let said = |e: ScheduleError| e.to_string();
    match (s.has("every"), s.has("schedule"), s.has("window")) {
        (true, true, _) => s.wrong("every and schedule exclude each other; remove one"),
        (false, false, true) => {
            s.wrong("window belongs to a schedule; add every = \"30 days\" or schedule = \"…\"");
        }
        _ => {}
    }
    let every = s.text("every", |text| Schedule::every(text).map_err(said));
    let expression = s.text("schedule", |text| Schedule::expression(text).map_err(said));
    let schedule = every.or(expression);
    let with_window = s.text("window", |text| match &schedule {
        Some(schedule) => schedule.clone().with_window(text).map_err(said).map(Some),
        // The schedule is missing or wrong, which has been noted.
        None => Ok(None),
    });
    with_window.flatten().or(schedule)
}

fn freeze(s: &mut Section<'_, '_>) -> Freezes {
    let periods = s.list("freeze", Freeze::parse).unwrap_or_default();
    Freezes::new(periods).unwrap_or_else(|why| {
        s.wrong(format!("freeze: {why}"));
        Freezes::default()
    })
}

/// Notes a second schedule for one secret; `rotated` are the secrets that have one already, with
/// their databases.
pub(super) fn once(
    database: &Database,
    rotated: &mut BTreeMap<SecretId, Arc<str>>,
    at: &Range<usize>,
    problems: &Problems<'_>,
) {
    let (secret, name) = (database.secret.clone(), database.name().clone());
    if let Some(other) = rotated.insert(secret, name) {
        problems.add(
            at,
            format!(
                "[database.{}]: rotation of secret {:?} stands in [database.{other}] already; keep one of them",
                database.name(),
                database.secret.as_str()
            ),
        );
    }
}
