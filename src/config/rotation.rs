//! `rotation = { … }` of a database.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::file::{Problems, Section};
use super::values::{secret, word};
use crate::base::nonempty;
use crate::pool::Database;
use crate::rotation::{Rotation, Strategy};
use crate::secret::SecretId;
use crate::secret::schedule::{Schedule, ScheduleError};

pub(super) fn rotation(s: &mut Section<'_, '_>) -> Option<Rotation> {
    if !s.has("rotation") {
        return None;
    }
    let mut s = s.section("rotation");
    let said = |e: ScheduleError| e.to_string();
    if s.has("every") && s.has("schedule") {
        s.wrong("every and schedule exclude each other; remove one");
    }
    let every = s.text("every", |text| Schedule::every(text).map_err(said));
    let expression = s.text("schedule", |text| Schedule::expression(text).map_err(said));
    let mut schedule = every.or(expression);
    let windowless = !s.has("every") && schedule.is_none();
    let with_window = s.text("window", |text| match schedule.clone() {
        Some(schedule) => schedule.with_window(text).map(Some).map_err(said),
        None => nonempty(text).map(|_| None),
    });
    match with_window {
        Some(Some(with_window)) => schedule = Some(with_window),
        Some(None) if windowless => {
            s.wrong("window belongs to a schedule; add every = \"30 days\" or schedule = \"…\"");
        }
        _ => {}
    }
    let strategy = s.text("strategy", |text| {
        word(
            text,
            &[
                ("single", Strategy::Single),
                ("alternating", Strategy::Alternating),
            ],
        )
    });
    let rotation = Rotation {
        schedule,
        strategy,
        admin_secret: s.text("admin_secret", secret),
        plaintext: s.boolean("plaintext").unwrap_or(false),
    };
    s.finish();
    Some(rotation)
}

/// A secret is rotated by one schedule: `rotated` are those seen so far, with
/// their databases.
pub(super) fn once(
    database: &Database,
    rotated: &mut BTreeMap<SecretId, Arc<str>>,
    at: &Range<usize>,
    problems: &Problems<'_>,
) {
    let (secret, name) = (database.secret.clone(), database.name.clone());
    if let Some(other) = rotated.insert(secret, name) {
        problems.add(
            at,
            format!(
                "[database.{}]: rotation of secret {:?} stands in [database.{other}] already; keep one of them",
                database.name,
                database.secret.as_str()
            ),
        );
    }
}
