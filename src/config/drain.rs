//! `[database.NAME]`: what becomes of connections of an older version.

use std::time::Duration;

use super::file::Section;
use super::values::word;
use crate::pool::{DrainDeadlineAction, PoolMode, SessionMigration};

pub(super) struct Drain {
    pub timeout: Duration,
    pub action: DrainDeadlineAction,
    pub hard_timeout: Duration,
    pub migration: SessionMigration,
}

pub(super) fn drain(s: &mut Section<'_, '_>, mode: PoolMode) -> Drain {
    let action = s.text("drain_deadline_action", |text| {
        let words = [
            ("wait", DrainDeadlineAction::Wait),
            ("terminate", DrainDeadlineAction::Terminate),
        ];
        word(text, &words)
    });
    let migration = s.text("session_migration", |text| {
        let words = [
            ("off", SessionMigration::Off),
            ("safe", SessionMigration::Safe),
        ];
        word(text, &words)
    });
    let drain = Drain {
        timeout: s.duration("drain_timeout", Duration::from_secs(300), Duration::ZERO),
        action: action.unwrap_or(DrainDeadlineAction::Wait),
        hard_timeout: s.duration("drain_hard_timeout", Duration::ZERO, Duration::ZERO),
        migration: migration.unwrap_or(SessionMigration::Off),
    };
    if !drain.hard_timeout.is_zero() {
        if drain.action != DrainDeadlineAction::Terminate {
            s.wrong("drain_hard_timeout ends sessions, which drain_deadline_action = \"wait\" forbids; write \"terminate\", or remove it");
        } else if drain.hard_timeout < drain.timeout {
            s.wrong("drain_hard_timeout is shorter than drain_timeout, after which sessions end between transactions; make it longer");
        }
    }
    if drain.migration == SessionMigration::Safe && mode != PoolMode::Session {
        s.wrong("session_migration is for pool_mode = \"session\": in the other modes clients move between transactions anyway; remove it");
    }
    drain
}
